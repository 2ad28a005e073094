"""Causal self-attention over a padded history, of parts that float and integer files compute alike."""

import keras
from keras import ops

# How far below the lowest score those of masked places are set: exp(-20) is next to nothing of a softmax in float32, and
# leaves an int8 file most of its 255 steps for the others. The usual -1e9 would leave them one.
BELOW = 20.0


@keras.saving.register_keras_serializable("tfdistill")
class HistoryTable(keras.layers.Embedding):
    """A table of items that is looked up by item number, or by history: int32 item number + 1, 0 for padding.

    Padding gets the row of item 0, which `MaskedRows` clears.
    """

    def call(self, numbers, is_history=False):
        return super().call(ops.maximum(numbers - 1, 0) if is_history else numbers)

    def compute_output_spec(self, numbers, is_history=False):
        return super().compute_output_spec(numbers)


@keras.saving.register_keras_serializable("tfdistill")
class MaskedRows(keras.layers.Layer):
    """The rows of a history times a number, zeros where there is padding.

    Args:
        factor: what all are multiplied with.

    Call arguments:
        rows: float [batch, length, width].
        history: int32 [batch, length], 0 where there is padding.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, rows, history):
        return rows * ops.expand_dims(self.factor * ops.cast(ops.minimum(history, 1), rows.dtype), -1)

    def compute_output_shape(self, rows_shape, history_shape):
        return rows_shape

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


@keras.saving.register_keras_serializable("tfdistill")
class AddPositions(keras.layers.Layer):
    """Adds a learned vector to each place: float [batch, length, width] -> the same.

    Args:
        initializer: a Keras initializer or its name; by default normal with deviation 0.01.
    """

    def __init__(self, initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer or keras.initializers.RandomNormal(stddev=0.01))

    def build(self, input_shape):
        # By its name a bias, which it is: not multiplied with anything, so neither pruned nor rounded.
        self.bias = self.add_weight(name="bias", shape=input_shape[1:], initializer=self.initializer)

    def call(self, x):
        return x + self.bias

    def get_config(self):
        return super().get_config() | {"initializer": keras.initializers.serialize(self.initializer)}


@keras.saving.register_keras_serializable("tfdistill")
class CausalAttention(keras.layers.Layer):
    """The weights with which each place attends to itself and to the items before it: softmax(q k / sqrt(width of a head)).

    Args:
        heads: what queries and keys are split into.

    Call arguments:
        queries, keys: float [batch, length, width].
        history: int32 [batch, length], 0 where there is padding, which nothing attends to but itself.

    Returns: float [batch, heads, length, length], each row adds up to 1.
    """

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, queries, keys, history):
        length, width = queries.shape[1:]
        split = (-1, length, self.heads, width // self.heads)
        queries = ops.transpose(ops.reshape(queries, split), (0, 2, 1, 3))
        keys = ops.transpose(ops.reshape(keys, split), (0, 2, 3, 1))
        scores = ops.matmul(queries * (width // self.heads) ** -0.5, keys)
        is_seen = ops.logical_or(
            ops.logical_and(history[:, None, None, :] > 0, ops.tri(length, k=-1, dtype="bool")),
            ops.eye(length, dtype="bool"),
        )
        lowest = ops.stop_gradient(ops.min(scores, axis=-1, keepdims=True))
        weights = ops.softmax(ops.where(is_seen, scores, lowest - BELOW))
        return ops.where(is_seen, weights, 0.0)

    def compute_output_shape(self, queries_shape, keys_shape, history_shape):
        batch, length, _ = queries_shape
        return (batch, self.heads, length, length)

    def get_config(self):
        return super().get_config() | {"heads": self.heads}


@keras.saving.register_keras_serializable("tfdistill")
class WeightedSum(keras.layers.Layer):
    """The values weighted by attention, heads side by side.

    Call arguments:
        weights: float [batch, heads, length, length].
        values: float [batch, length, width].

    Returns: float [batch, length, width].
    """

    def call(self, weights, values):
        heads, (length, width) = weights.shape[1], values.shape[1:]
        values = ops.transpose(ops.reshape(values, (-1, length, heads, width // heads)), (0, 2, 1, 3))
        return ops.reshape(ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3)), (-1, length, width))

    def compute_output_shape(self, weights_shape, values_shape):
        return values_shape
