"""What a step of a `RetrievalDistiller` computes of its batch once for all losses."""

import functools

import tensorflow as tf

from tfdistill._retrieval_rows import first_occurrences
from tfdistill._retrieval_windows import Places


class BatchVectors:
    """The student's vectors of a batch, and which of its users and items come for the first time.

    Of a batch of windows rows are places of histories, each of them a user of its own; `row_weights` is 0 for those without
    a target, and `None` for a batch of pairs.
    """

    def __init__(self, distiller, data, training):
        self._distiller, self._data, self.training = distiller, data, training
        inputs = distiller._inputs.value
        self._users = inputs["user"].ids(data["user"])
        given, negative = data["item"], data.get("negative")
        self.places, self.row_weights = None, None
        if not isinstance(given, dict) and len(given.shape) == 2:
            self.places = Places(data)
            given, negative, self.row_weights = self.places.items, self.places.negative, self.places.weights
            user = self.places.vectors(distiller.student, data["user"], training)
        else:
            user = distiller._vectors("user", data["user"], training)
        self.items = inputs["item"].ids(given)
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
        if self.places is None:
            self.weights = {entity: None if ids is None else first_occurrences(ids) for entity, ids in self.ids.items()}
        else:
            self.weights = {"user": self.row_weights, "item": self._item_weights()}

    def _item_weights(self):
        """1 for items of places with a target that come for the first time."""
        counted = self.row_weights
        if self.negative is not None:
            of_negatives = counted[:, None] * tf.ones_like(self.places.negative, "float32")
            counted = tf.concat([counted, tf.reshape(of_negatives, [-1])], axis=0)
        return counted * first_occurrences(tf.where(counted > 0, self.ids["item"], -1))

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
        if row is None and self.places is not None:
            if self._users is None:
                raise ValueError(f'{type(loss).__name__} needs the numbers of users, "user" beside their "history".')
            # Rankings are of users, by all that is known of them, not of the places of a window.
            row, weights = self._users, first_occurrences(self._users)
        if row is not None:
            rows = self._distiller._vectors(loss.side, row, self.training)
        vectors = self._distiller._vectors(other, tf.reshape(chosen, [-1]), self.training)
        count = chosen.shape[1]
        scores = tf.einsum("bd,bnd->bn", rows, tf.reshape(vectors, [-1, count, rows.shape[-1]]))
        ids = self._users if loss.side == "user" else self.items
        if row is None and ids is not None:
            weights = first_occurrences(ids)
        return drawn, scores, weights
