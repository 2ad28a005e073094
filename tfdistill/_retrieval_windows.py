"""Training on windows of histories: every place predicts the item that came next, all of them at once."""

import numpy as np
import tensorflow as tf

from tfdistill.data.sequences import next_item_windows
from tfdistill.models.retrieval import towers
from tfdistill.models.sas_rec import sequence_tower


def windows_of(model, dataset):
    """The windows that a model is trained on, see `next_item_windows`; `None` for a model that reads no history.

    Raises:
        ValueError: for a user tower with a history of which it gives no vectors at all places.
        UserError: where the pairs have no order.
    """
    return next_item_windows(dataset, window_length(model)) if reads_history(model) else None


def reads_history(model):
    """Whether the user tower has an input "history"."""
    inputs = towers(model)[0].input
    return isinstance(inputs, dict) and "history" in inputs


def window_length(model):
    """L, the places of the history that a sequence model reads."""
    try:
        return sequence_tower(model).input["history"].shape[1]
    except ValueError as error:
        raise ValueError(
            'The user tower takes "history" and gives no vectors at its places (`tfdistill.models.sequence_tower`). Filled '
            "with a user's training items, that history holds the very item to be predicted. Use `sas_rec`, or train with "
            '`fit` on batches whose "history" ends before "item".'
        ) from error


def check_teacher(student, teacher):
    """Raises `ValueError` unless vectors at the student's places can be compared with the teacher's, or there are none."""
    if teacher is None or not reads_history(student):
        return
    length = window_length(student)
    try:
        found = sequence_tower(teacher).input["history"].shape[1]
    except ValueError as error:
        raise ValueError(
            "Losses between vectors at the places of a history need a teacher that reads the same history, a model made by "
            f"sas_rec. Received: {type(teacher).__name__}. Use a ranking loss, or another student."
        ) from error
    if found != length:
        raise ValueError(
            f"`teacher` and `student` must read histories of one length, `max_length`. Received: {found} and {length}"
        )


class Places:
    """The places of a batch of windows as rows, those without a target of weight 0.

    Args:
        data: {"item": int32 [b, L], item number + 1 and 0 where there is no target, "negative": [b, L] or [b, L, n], the
            same, if any, "place": int32 [rows], which of the b * L places are rows; without it all are}.
    """

    def __init__(self, data):
        self._place = data.get("place")
        targets = self.rows(data["item"])
        self.weights = tf.cast(targets > 0, "float32")
        self.items = tf.maximum(targets - 1, 0)
        negative = data.get("negative")
        self.negative = None
        if negative is not None:
            negative = negative[..., None] if len(negative.shape) == 2 else negative
            self.negative = tf.maximum(self.rows(negative) - 1, 0)

    def rows(self, array):
        """[b, L, ...] -> [rows, ...]."""
        flat = tf.reshape(array, [-1, *array.shape[2:]])
        return flat if self._place is None else tf.gather(flat, self._place)

    def vectors(self, model, given, training):
        """The vectors [rows, d] that a sequence model has at the places of the batch's histories."""
        vectors = sequence_tower(model)({"history": tf.convert_to_tensor(given["history"])}, training=training)
        return self.rows(tf.cast(vectors, "float32"))


class WindowBatches:
    """What `RetrievalBatches` needs of windows: most places of most windows are padding, which is left out.

    Args:
        windows: of `next_item_windows`.
        batch_size: windows a batch.
        orders: the orders of the windows in all epochs that come.
    """

    def __init__(self, windows, batch_size, orders):
        self._windows = windows
        filled = np.count_nonzero(windows["target"], axis=1)
        starts = np.arange(0, len(filled), batch_size)
        # So many rows are enough for every batch of every epoch, so all have one shape.
        self._rows = max(int(np.add.reduceat(filled[order], starts).max()) for order in orders)

    def arrays(self, order, draw):
        """An epoch's arrays: users with their histories, targets, and negatives of places that have a target.

        Args:
            order: int [windows].
            draw: (users [m]) -> int [m, n]; or `None`.
        """
        windows = {name: column[order] for name, column in self._windows.items()}
        arrays = {"user": {"user": windows["user"], "history": windows["history"]}, "item": windows["target"]}
        if draw is not None:
            window, place = np.nonzero(windows["target"])
            drawn = draw(windows["user"][window])
            arrays["negative"] = np.zeros((*windows["target"].shape, drawn.shape[1]), np.int32)
            arrays["negative"][window, place] = drawn + 1
        return arrays

    def places(self, targets):
        """The places of a batch that become rows, those with a target first: int32 [rows]."""
        is_target = tf.reshape(targets, [-1]) > 0
        places = tf.concat([tf.where(is_target), tf.where(~is_target)], axis=0)[: self._rows, 0]
        whole = targets.shape[0] is not None and self._rows <= targets.shape.num_elements()
        return tf.ensure_shape(tf.cast(places, "int32"), [self._rows if whole else None])
