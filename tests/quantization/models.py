"""Models of every kind for the tests of quantisation."""

import keras
from keras import layers


def cnn(classes=5):
    """Everything that is fused: kernel and normalisation, normalisation and ReLU, sum and ReLU."""
    image = keras.Input((10, 10, 1), name="image")
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(image)
    x = layers.ReLU(name="conv_relu")(layers.BatchNormalization(name="conv_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.ReLU(6.0, name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    side = layers.Conv2D(4, 1, name="side")(x)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, side]))
    x = layers.MaxPooling2D(name="highest")(x)
    x = layers.AveragePooling2D(2, name="average")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dropout(0.1, name="dropped")(x)
    return keras.Model(image, layers.Dense(classes, name="logits")(x), name="cnn")


class Block(layers.Layer):
    """A custom layer with layers of its own and operators between them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.norm = layers.LayerNormalization(name="norm")
        self.dense = layers.Dense(8, "gelu", name="dense")

    def build(self, shape):
        self.attention.build(shape, shape)
        self.norm.build(shape)
        self.dense.build(shape)

    def call(self, x):
        x = self.norm(x + self.attention(x, x))
        return x + self.dense(x * 0.5)


@keras.saving.register_keras_serializable("tests_quantization")
class Subclassed(keras.Model):
    """A model that is not functional, with what TFMOT refuses."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = layers.Embedding(20, 8, name="table")
        self.recurrent = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="recurrent")
        self.block = Block(name="block")
        self.head = layers.Dense(1, name="head")

    def call(self, ids, training=None):
        x = self.block(self.recurrent(self.table(ids)))
        return keras.ops.mean(self.head(x), axis=1)


def sequence_model(layer):
    """Ids through a table, a layer, the mean over time if it is left, and two dense layers."""
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layer(layers.Embedding(20, 8, name="table")(ids))
    x = layers.GlobalAveragePooling1D(name="mean")(x) if len(x.shape) == 3 else x
    return keras.Model(ids, layers.Dense(1, name="logits")(layers.Dense(16, "relu", name="hidden")(x)))
