"""The ranking of all items as a TFLite file."""

import tempfile

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from tfdistill._layers import wrapping
from tfdistill.export import flatbuffer, isolation
from tfdistill.export.promises import check_promises
from tfdistill.export.saved_model import write_saved_model
from tfdistill.export.serving import SIGNATURES, serving_module
from tfdistill.export.tflite import check_runs, convert, converter_kept_quiet, finished
from tfdistill.models.attention import HistoryTable

_OF_INTEGERS = ("tflite_dynamic_int8", "tflite_weight_only_int8", "tflite_int4")
_LARGEST = 2**31 - 1


def retrieval_file(source, format, k, seen_length, user_input):
    """The bytes of the file.

    Args:
        source: `RetrievalSource`.
        format: one of `RETRIEVAL_FORMATS` for TFLite.
        k: how many items it returns.
        seen_length: places for seen items, 0 to leave none out.
        user_input: "number" or "vector".

    Raises:
        UserError: the user tower does not convert.
    """
    module = _Ranking(source, k, seen_length, user_input, format in _OF_INTEGERS)
    signatures = {name: module.traced(name, batch) for name, batch in SIGNATURES.items()}
    with tempfile.TemporaryDirectory() as folder, converter_kept_quiet():
        write_saved_model(module, signatures, folder)
        converted = flatbuffer.parse(convert(folder, format, None))
        isolation.remove_barriers(converted)
        content = _with_common_scales(finished(converted, format, module.layer_names), source.items.shape)
        check_promises([], content, format)
        check_runs(content)
    return content


class _Ranking(tf.Module):
    """The function of the file, and its constants."""

    def __init__(self, source, k, seen_length, user_input, is_of_integers):
        super().__init__()
        self._count, self._k, self._seen_length = len(source.items), k, seen_length
        self._source = source
        self.layer_names = {"user_vectors", "item_vectors"}
        items, bias = source.items, None
        if source.user_tower is not None:
            self.layer_names |= {layer.name for layer in source.user_tower._flatten_layers(include_self=False)}
        self._users = None
        if source.user_tower is None and user_input == "number":
            users, items, bias = _without_constants(source.users, items)
            self._users = _Rows(users, "user", is_of_integers)
        self._items = _Rows(items, "item", is_of_integers)
        self._bias = None if bias is None else tf.Variable(bias, trainable=False, name="item_bias")
        if source.user_tower is not None:
            with wrapping(self._lookups_of_items(source)):
                self._tower, self._vectors = serving_module(source.user_tower, "logit")

    def _lookups_of_items(self, source):
        """Has the tower look items up in the table that scores them, where it is the same: one copy in the file."""

        def look_up(call, numbers, is_history=False):
            return self._items.rows(tf.maximum(numbers - 1, 0) if is_history else numbers)

        return [
            (layer, look_up)
            for layer in source.user_tower._flatten_layers()
            if type(layer) in (keras.layers.Embedding, HistoryTable)
            and np.array_equal(keras.ops.convert_to_numpy(layer.embeddings), source.items)
        ]

    def traced(self, signature, batch):
        """The concrete function of a signature, for `batch` users, `None` for any number."""
        if self._source.user_tower is not None:
            length = max(self._seen_length, self._source.history_length)
            specs = {"history": tf.TensorSpec([batch, length], tf.int32, "history"), **self._source.fields(batch)}
        else:
            if self._users is None:
                specs = {"user_vector": tf.TensorSpec([batch, self._items.width], tf.float32, "user_vector")}
            else:
                specs = {"user": tf.TensorSpec([batch], tf.int32, "user")}
            if self._seen_length:
                specs["seen"] = tf.TensorSpec([batch, self._seen_length], tf.int32, "seen")

        def rank(user=None, user_vector=None, history=None, seen=None, **fields):
            if history is not None:
                recent = history[:, -self._source.history_length :] + 1  # in the tower from 1, with 0 for padding
                user_vector, seen = self._vectors[signature](history=recent, **fields)["logit"], history
            elif user is not None:
                user_vector = self._users.rows(user)
            scores = self._items.products(user_vector)
            if self._bias is not None:
                scores += self._bias
            if self._seen_length:
                scores = tf.where(self._marked(seen), -np.inf, scores)
            scores, numbers = tf.math.top_k(scores, self._k)
            return {"item": tf.where(scores > -np.inf, numbers, -1), "score": scores}

        return tf.function(rank, autograph=False).get_concrete_function(**specs)

    def _marked(self, seen):
        """Where items were seen: bool [batch, items], from int32 [batch, n]. What is no item falls into one column more."""
        batch = tf.shape(seen)[0] if seen.shape[0] is None else seen.shape[0]
        columns = tf.where((seen < 0) | (seen >= self._count), self._count, seen)
        rows = tf.zeros_like(columns) + tf.range(batch)[:, None]
        ones = tf.ones_like(columns)
        counts = tf.scatter_nd(tf.stack([rows, columns], axis=-1), ones, [batch, self._count + 1])
        return counts[:, : self._count] > 0


class _Rows(tf.Module):
    """Vectors by row; in a file of integers each divided by its largest magnitude, its size, which is kept beside them.

    One scale then serves the whole table, as lookups and products of every runtime understand it, and yet each row has one
    of its own. The converter would round sizes to 8 bits, too: they are stored as shares of the largest in 31.
    """

    def __init__(self, vectors, side, is_of_integers):
        super().__init__()
        self._scope, self.width = f"{side}_vectors", vectors.shape[1]
        self._shares = None
        if is_of_integers:
            sizes = np.abs(vectors).max(1, initial=0)
            vectors = vectors / np.where(sizes, sizes, 1)[:, None]
            self._step = float(max(sizes.max(), np.finfo(np.float32).tiny)) / _LARGEST
            shares = np.round(sizes.astype(np.float64) / self._step).astype(np.int32)
            self._shares = tf.Variable(shares, trainable=False, name=f"{side}_sizes")
        self._vectors = tf.Variable(vectors, trainable=False, name=self._scope)

    def rows(self, numbers):
        """float32 [..., d], of numbers int32 [...]."""
        with tf.name_scope(self._scope):
            rows = tf.gather(self._vectors, numbers)
            if self._shares is None:
                return rows
            return rows * (tf.cast(tf.gather(self._shares, numbers), tf.float32) * self._step)[..., None]

    def products(self, vectors):
        """float32 [batch, rows]: with every row."""
        with tf.name_scope(self._scope):
            products = tf.matmul(vectors, self._vectors, transpose_b=True)
            if self._shares is None:
                return products
            # Without the barrier the converter would multiply the sizes into the table again.
            return isolation.barrier(products) * (tf.cast(self._shares, tf.float32) * self._step)


def _with_common_scales(content, shape_of_items):
    """Stores one scale for a table whose rows all have the same (one of zeros has any): twelve bytes a row less, and
    graph."""
    model = flatbuffer.parse(content)
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            if tensor.name and tuple(flatbuffer.shape(tensor)) == shape_of_items and b"/" not in tensor.name:
                tensor.name = (
                    b"item_vectors"  # a constant of both graphs and of the tower, for which the converter has no name
                )
            quantization = tensor.quantization
            if tensor.type != schema.TensorType.INT8 or quantization is None or quantization.scale is None:
                continue
            rows = flatbuffer.constant(model, tensor)
            if rows is None or len(quantization.scale) < 2 or quantization.quantizedDimension != 0:
                continue
            scales = np.unique(quantization.scale[rows.reshape(len(quantization.scale), -1).any(1)])
            if len(scales) == 1:
                quantization.scale, quantization.zeroPoint = scales, np.zeros(1, np.int64)
    return flatbuffer.pack(model)


def _without_constants(users, items):
    """Vectors without the coordinates in which all users agree, and what these add to every score: float32 [items] or None.

    Such a coordinate, the 1 against an item's bias for example, would be the widest of a user's vector when that is rounded
    to 8 bits, and set the step for all others.
    """
    is_constant = users.min(0) == users.max(0)
    if not is_constant.any() or is_constant.all():
        return users, items, None
    return users[:, ~is_constant], items[:, ~is_constant], items[:, is_constant] @ users[0, is_constant]
