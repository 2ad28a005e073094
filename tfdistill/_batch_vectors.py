"""What a step of a `RetrievalDistiller` computes of its batch once for all losses."""

import functools

import tensorflow as tf

from tfdistill._retrieval_rows import first_occurrences


class BatchVectors:
    """The student's vectors of a batch, and which of its users and items come for the first time."""

    def __init__(self, distiller, data, training):
        self._distiller, self._data, self.training = distiller, data, training
        inputs = distiller._inputs.value
        self._users = inputs["user"].ids(data["user"])
        self.items = inputs["item"].ids(data["item"])
        user = distiller._vectors("user", data["user"], training)
        given, negative = data["item"], data.get("negative")
        rows = tf.shape(user)[0]
        if negative is not None:
            if not isinstance(negative, dict):
                negative = tf.reshape(negative, [-1])
                given = tf.concat([self.items, tf.cast(negative, self.items.dtype)], axis=0)
            else:
                given = {name: tf.concat([given[name], negative[name]], axis=0) for name in given}
        item = distiller._vectors("item", given, training)
        self.vectors = {"user": user, "item": item}
        self.given = {"user": data["user"], "item": given}
        self.ids = {"user": self._users, "item": inputs["item"].ids(given)}
        self.positive = item[:rows]
        self.negative = None if negative is None else tf.reshape(item[rows:], [rows, -1, item.shape[-1]])
        self.weights = {entity: None if ids is None else first_occurrences(ids) for entity, ids in self.ids.items()}

    @functools.cached_property
    def all_items(self):
        """The student's vectors of all items."""
        if self._distiller._items.value is None:
            raise ValueError("What compares all items needs to know them: call `set_dataset` or `fit_retrieval`.")
        return self._distiller._vectors("item", tf.range(self._distiller._items.value), self.training)

    def candidates(self, loss, place):
        """(what was drawn beside the candidates, the student's scores of them, the weights of rows) of a ranking loss."""
        if place not in self._data.get("candidates", {}):
            raise ValueError(
                f"{type(loss).__name__} needs the candidates that it draws in the batches. Train with `fit_retrieval`, or put "
                f'{{"candidates": {{"{place}": {{"item": [b, n], ...}}}}}} into them.'
            )
        drawn = dict(self._data["candidates"][place])
        chosen, row, weights = drawn.pop("item"), drawn.pop("row", None), drawn.pop("row_weight", None)
        rows, other = (self.vectors["user"], "item") if loss.side == "user" else (self.positive, "user")
        if row is not None:
            rows = self._distiller._vectors(loss.side, row, self.training)
        vectors = self._distiller._vectors(other, tf.reshape(chosen, [-1]), self.training)
        count = chosen.shape[1]
        scores = tf.einsum("bd,bnd->bn", rows, tf.reshape(vectors, [-1, count, rows.shape[-1]]))
        ids = self._users if loss.side == "user" else self.items
        if row is None and ids is not None:
            weights = first_occurrences(ids)
        return drawn, scores, weights
