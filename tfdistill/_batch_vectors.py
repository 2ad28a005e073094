"""What a step of a `RetrievalDistiller` computes of its batch once for all losses."""

import typing

import tensorflow as tf

from tfdistill._replicas import gathered, once, replicas
from tfdistill._retrieval_rows import first_occurrences
from tfdistill._retrieval_windows import Places


class Pairs(typing.NamedTuple):
    """What a base loss sees: vectors of users and positives [b, d] and of negatives [b, n, d], ids of items, and what pairs
    count; `None` for what there is not."""

    user: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor | None
    items: tf.Tensor | None
    weights: tf.Tensor | None


class BatchVectors:
    """The student's vectors of a batch, and which of its users and items come for the first time.

    Of a batch of windows rows are places of histories, each of them a user of its own; the `weights` of `pairs` are 0 for
    those without a target, and `None` for a batch of pairs.

    Under a distribution strategy a replica computes the vectors of its own part of the batch, `pairs` and `given`; what
    else is here is of the whole batch, so that what compares its rows sees what it would see on one device.
    """

    def __init__(self, distiller, data, training):
        self._distiller, self._data, self.training = distiller, data, training
        inputs = distiller._inputs.value
        given, negative, weights = data["item"], data.get("negative"), None
        self.places = None
        if not isinstance(given, dict) and len(given.shape) == 2:
            self.places = Places(data)
            given, negative, weights = self.places.items, self.places.negative, self.places.weights
            user = self.places.vectors(distiller.student, data["user"], training)
        else:
            user = distiller._vectors("user", data["user"], training)
        items = inputs["item"].ids(given)
        self._rows = rows = tf.shape(user)[0]
        if negative is not None:
            if not isinstance(negative, dict):
                negative = tf.reshape(negative, [-1])
                given = tf.concat([items, tf.cast(negative, items.dtype)], axis=0)
            else:
                given = {name: tf.concat([given[name], negative[name]], axis=0) for name in given}
        item = distiller._vectors("item", given, training)
        self.given = {"user": data["user"], "item": given}
        self._vectors = {"user": user, "item": item}
        negatives = None if negative is None else tf.reshape(item[rows:], [rows, -1, item.shape[-1]])
        self.pairs = Pairs(user, item[:rows], negatives, items, weights)

    def whole(self, entity, rows):
        """Rows of this replica's users, or of its positive and then its negative items, as those of the whole batch."""
        if rows is None or replicas() == 1:
            return rows
        if entity == "user":
            return gathered(rows)
        return tf.concat(gathered([rows[: self._rows], rows[self._rows :]]), axis=0)

    @once
    def all_pairs(self):
        """The `pairs` of all replicas."""
        return Pairs(*gathered(tuple(self.pairs)))

    @once
    def vectors(self):
        """{"user": the student's vectors, "item": those of positive and then of negative items}."""
        return {entity: self.whole(entity, vectors) for entity, vectors in self._vectors.items()}

    @once
    def ids(self):
        """{"user": ids, "item": ids}, `None` where the batch does not hold them."""
        inputs = self._distiller._inputs.value
        return {entity: self.whole(entity, inputs[entity].ids(given)) for entity, given in self.given.items()}

    @once
    def weights(self):
        """{"user": 1 for who comes for the first time, "item": ...}."""
        if self.places is None:
            return {entity: None if ids is None else first_occurrences(ids) for entity, ids in self.ids.items()}
        return {"user": self.all_pairs.weights, "item": self._item_weights()}

    def _item_weights(self):
        """1 for items of places with a target that come for the first time."""
        counted, negative = self.all_pairs.weights, self.all_pairs.negative
        if negative is not None:
            of_negatives = counted[:, None] * tf.ones_like(negative[:, :, 0], "float32")
            counted = tf.concat([counted, tf.reshape(of_negatives, [-1])], axis=0)
        return counted * first_occurrences(tf.where(counted > 0, self.ids["item"], -1))

    @once
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
        users = self._distiller._inputs.value["user"].ids(self._data["user"])
        rows, other = (self.pairs.user, "item") if loss.side == "user" else (self.pairs.positive, "user")
        ids = users if loss.side == "user" else self.pairs.items
        if row is None and self.places is not None:
            if users is None:
                raise ValueError(f'{type(loss).__name__} needs the numbers of users, "user" beside their "history".')
            # Rankings are of users, by all that is known of them, not of the places of a window.
            row = ids = users
        elif row is not None:
            ids = None
        if row is not None:
            rows = self._distiller._vectors(loss.side, row, self.training)
        vectors = self._distiller._vectors(other, tf.reshape(chosen, [-1]), self.training)
        count = chosen.shape[1]
        scores = tf.einsum("bd,bnd->bn", rows, tf.reshape(vectors, [-1, count, rows.shape[-1]]))
        drawn, scores, weights, ids = gathered((drawn, scores, weights, ids))
        return drawn, scores, weights if ids is None else first_occurrences(ids)
