"""The ranking of all items as a `tf.Module` that takes and returns raw ids."""

import numpy as np
import tensorflow as tf

from tfdistill.export.retrieval_ids import raw_ids
from tfdistill.export.serving import serving_module


def retrieval_module(source, dataset, exclude):
    """Traces the function of a SavedModel.

    Args:
        source: `RetrievalSource`.
        dataset: `ImplicitDataset`.
        exclude: parts whose items are left out.

    Returns: `(module, concrete function)`; see `tfdistill.export.export_retrieval` for its inputs and outputs.
    """
    module = _ByUser(source, dataset, exclude) if source.user_tower is None else _ByHistory(source, dataset, exclude)
    return module, module.recommend


class _Ids(tf.Module):
    """Raw ids to numbers and back."""

    def __init__(self, ids, count, what):
        super().__init__()
        ids, absent = raw_ids(ids, count, what)
        self.by_number = tf.Variable(tf.constant(np.append(ids, absent)), trainable=False, name=f"{what}_ids")
        self.dtype, self._count = self.by_number.dtype, count
        self.absent = tf.constant(absent, self.dtype)
        numbers = tf.lookup.KeyValueTensorInitializer(tf.constant(ids), tf.range(count, dtype=tf.int32))
        self._numbers = tf.lookup.StaticHashTable(numbers, default_value=count)

    def numbers(self, ids):
        """int32; that of an unknown id is one past the last."""
        return self._numbers.lookup(ids)

    def ids(self, numbers):
        return tf.gather(self.by_number, numbers)


class _Retrieval(tf.Module):
    """What both kinds share: the vectors of the items, and the ranking."""

    def __init__(self, source, dataset, exclude):
        super().__init__()
        self._items = tf.Variable(source.items, trainable=False, name="item_vectors")
        self._counts = tf.Variable(dataset.item_counts("train").astype(np.float32), trainable=False, name="item_counts")
        self._item_ids = _Ids(dataset.item_ids, dataset.items, "item")
        self._count, self._leaves_out = dataset.items, bool(exclude)

    def _ranked(self, vectors, known, seen, k):
        """The answer. vectors: [batch, d]; known: bool [batch]; seen: int32 [n, 2] of (row, item number), some repeated."""
        scores = tf.matmul(vectors, self._items, transpose_b=True)
        scores = tf.where(known[:, None], scores, self._counts[None])
        if self._leaves_out:
            scores = tf.tensor_scatter_nd_update(scores, seen, tf.fill(tf.shape(seen)[:1], -np.inf))
        scores, numbers = tf.math.top_k(scores, k)
        numbers = tf.where(scores > -np.inf, numbers, self._count)
        return {"item": self._item_ids.ids(numbers), "score": scores, "known": known}


class _ByUser(_Retrieval):
    def __init__(self, source, dataset, exclude):
        super().__init__(source, dataset, exclude)
        nobody = np.zeros((1, source.users.shape[1]), np.float32)
        self._users = tf.Variable(np.concatenate([source.users, nobody]), trainable=False, name="user_vectors")
        self._user_ids = _Ids(dataset.user_ids, dataset.users, "user")
        if exclude:
            lists = dataset.lists(*exclude)
            offsets = np.append(lists.offsets, lists.offsets[-1])  # nobody has seen nothing
            self._offsets = tf.Variable(offsets, trainable=False, name="seen_offsets")
            self._seen = tf.Variable(lists.items, trainable=False, name="seen_items")
        ids, k = tf.TensorSpec([None], self._user_ids.dtype, "user"), tf.TensorSpec([], tf.int32, "k")
        self.recommend = tf.function(self._recommend, autograph=False).get_concrete_function(user=ids, k=k)

    def _recommend(self, user, k):
        number = self._user_ids.numbers(user)
        known = number < self._users.shape[0] - 1
        return self._ranked(tf.gather(self._users, number), known, self._seen_of(number), k)

    def _seen_of(self, number):
        if not self._leaves_out:
            return None
        places = tf.ragged.range(tf.gather(self._offsets, number), tf.gather(self._offsets, number + 1))
        rows = tf.cast(places.value_rowids(), tf.int32)
        return tf.stack([rows, tf.gather(self._seen, places.values)], axis=1)


class _ByHistory(_Retrieval):
    def __init__(self, source, dataset, exclude):
        super().__init__(source, dataset, exclude)
        self._tower, signatures = serving_module(source.user_tower, "logit")
        self._vectors, self._length = signatures["serving_default"], source.history_length
        ids, k = tf.TensorSpec([None, None], self._item_ids.dtype, "history"), tf.TensorSpec([], tf.int32, "k")
        specs = {"history": ids, "k": k, **source.fields(None)}
        self.recommend = tf.function(self._recommend, autograph=False).get_concrete_function(**specs)

    def _recommend(self, history, k, **fields):
        numbers = self._item_ids.numbers(history)
        is_item = numbers < self._count
        # Known items to the right, in their order; then the tower's length of them, whatever the length that came.
        order = tf.argsort(tf.cast(is_item, tf.int32), axis=1, stable=True)
        packed = tf.gather(tf.where(is_item, numbers + 1, 0), order, axis=1, batch_dims=1)
        packed = tf.pad(packed, [[0, 0], [self._length, 0]])[:, -self._length :]
        vectors = self._vectors(history=packed, **fields)["logit"]
        seen = None
        if self._leaves_out:
            places = tf.where(is_item)
            seen = tf.stack([tf.cast(places[:, 0], tf.int32), tf.gather_nd(numbers, places)], axis=1)
        return self._ranked(vectors, tf.reduce_any(is_item, axis=1), seen, k)
