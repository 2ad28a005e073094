"""What a retrieval file is made of: the vectors of items, and those of users or the tower that works them out."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfdistill.export.serving import field_inputs
from tfdistill.precision import FLOAT32, in_precision


@dataclass(frozen=True, eq=False)
class RetrievalSource:
    """Vectors whose inner products are scores.

    Attributes:
        items: float32 [items, d].
        users: float32 [users, d]; `None` where there is a tower.
        user_tower: functional `keras.Model`, {"history": int32 [batch, L]} and fields -> [batch, d]; `None` where there
            are vectors.
    """

    items: np.ndarray
    users: np.ndarray | None = None
    user_tower: keras.Model | None = None

    @classmethod
    def of(cls, model, dataset):
        """From a retrieval model, or vectors; see `tfdistill.export.export_retrieval`."""
        if not isinstance(model, keras.Model):
            users, items = _pair(model)
            return cls(_checked("item", items, dataset.items), _checked("user", users, dataset.users, np.shape(items)))
        from tfdistill.models import item_vectors, towers, user_vectors
        from tfdistill.parametrize import parametrized_parts, strip

        if parametrized_parts(model):
            model = strip(model)
        model = in_precision(model, FLOAT32)  # vectors and tower of one precision
        user_tower, _ = towers(model)
        items = _checked("item", item_vectors(model, dataset), dataset.items)
        if "history" not in user_tower.input:
            return cls(items, users=_checked("user", user_vectors(model, dataset), dataset.users, items.shape))
        if "user" in user_tower.input:
            raise ValueError(
                "`model`: a user tower that takes both a history and the user's number has no retrieval file. Export its "
                "vectors: (user_vectors(model, dataset), item_vectors(model, dataset))."
            )
        return cls(items, user_tower=user_tower)

    @property
    def history_length(self):
        """L, how many items the tower reads."""
        return int(self.user_tower.input["history"].shape[1])

    def fields(self, batch):
        """The tower's inputs besides the history: {name: `tf.TensorSpec`}."""
        return {
            name: tf.TensorSpec((batch, *tensor.shape[1:]), tensor.dtype, name)
            for name, tensor in field_inputs(self.user_tower).items()
            if name != "history"
        }


def _pair(vectors):
    if hasattr(vectors, "user") and hasattr(vectors, "item"):
        return vectors.user, vectors.item
    if isinstance(vectors, (tuple, list)) and len(vectors) == 2:
        return vectors
    raise ValueError(
        "`model` must be a Keras 3 retrieval model or the vectors (user, item) of one. "
        f"Received: {vectors!r} of type {type(vectors).__name__}"
    )


def _checked(side, vectors, count, like=None):
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) != count or (like is not None and vectors.shape[1] != like[1]):
        width = "d" if like is None else like[1]
        raise ValueError(f"`model`: expected {side} vectors of shape ({count}, {width}). Received: {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])
        raise ValueError(f"`model`: expected finite {side} vectors. Received: that of {side} {row} is not.")
    return vectors
