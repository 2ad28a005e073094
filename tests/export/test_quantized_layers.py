"""Layer by layer: the int8 file of a model quantised in training computes what the model does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers, ops

from tfdistill.errors import UserError
from tfdistill.export import export_tflite, flatbuffer
from tfdistill.export.isolation import remove_barriers
from tfdistill.quantization import quantize_model

RANDOM = np.random.default_rng(0)
COUNT = 256  # so many that one value between two steps, which threads round now up, now down, does not count
IMAGES = RANDOM.normal(size=(COUNT, 8, 8, 3)).astype(np.float32)
ROWS = RANDOM.normal(size=(COUNT, 6)).astype(np.float32)
SEQUENCES = RANDOM.normal(size=(COUNT, 5, 6)).astype(np.float32)
IDS = RANDOM.integers(0, 9, (COUNT, 4)).astype(np.int32)


def operators(path):
    model = flatbuffer.read(path)
    return {flatbuffer.operator_name(model, one) for graph in model.subgraphs for one in graph.operators}


def table():
    return layers.Embedding(9, 4, embeddings_initializer="glorot_uniform")


def norm(**settings):
    return layers.BatchNormalization(
        gamma_initializer=keras.initializers.RandomNormal(seed=1),  # of both signs
        beta_initializer=keras.initializers.RandomNormal(seed=2),
        moving_mean_initializer=keras.initializers.RandomNormal(seed=3),
        moving_variance_initializer=keras.initializers.RandomUniform(0.5, 2, seed=4),
        trainable=False,
        **settings,
    )


def after(*stack):
    """A function that puts layers one on the other, and three logits on top."""

    def model(x):
        for layer in stack:
            x = layer(x)
        x = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
        return layers.Dense(3)(layers.Flatten()(x))

    return model


def products(x):
    first, second = layers.Dense(5)(x), layers.Dense(5)(x)
    return after()(ops.concatenate([first * second, ops.relu(first + second), ops.sigmoid(first)], axis=-1))


def extremes(x):
    first, second = layers.Dense(5)(x), layers.Dense(5)(x)
    return after()(layers.Maximum()([layers.Subtract()([first, second]), layers.Average()([first, second])]))


def two_readers(x):
    first = layers.Dense(5)(x)
    return after()(layers.Concatenate()([norm()(first), first]))


def residual(x):
    first = layers.Conv2D(4, 1)(x)
    return after()(layers.Add()([first, layers.Conv2D(4, 3, padding="same", activation="relu")(first)]))


def crossed_tables(ids):
    return after()(layers.Multiply()([table()(ids), table()(ids)]))


def tied(ids):
    both = layers.ReversibleEmbedding(9, 4)
    return both(layers.GlobalAveragePooling1D()(both(ids)), reverse=True)


keras.utils.set_random_seed(0)  # layers draw the seeds of their weights when they are made, here
MODELS = {
    "dense, norm, relu": (ROWS, after(layers.Dense(5), norm(), layers.ReLU())),
    "dense, norm without scale": (ROWS, after(layers.Dense(5, use_bias=False), norm(scale=False))),
    "dense, norm without centre": (ROWS, after(layers.Dense(5), norm(center=False))),
    "norm alone": (ROWS, after(norm())),
    "norm beside its input": (ROWS, two_readers),
    "transposed convolution, norm": (IMAGES, after(layers.Conv2DTranspose(4, 3, strides=2), norm(), layers.ReLU())),
    "depthwise convolution, norm": (IMAGES, after(layers.DepthwiseConv2D(3, depth_multiplier=2), norm())),
    "separable convolution, norm": (IMAGES, after(layers.SeparableConv2D(4, 3), norm(), layers.ReLU(6.0))),
    "1D convolution, norm": (SEQUENCES, after(layers.Conv1D(4, 3), norm())),
    "gelu, layer normalisation": (IMAGES, after(layers.Conv2D(4, 3, activation="gelu"), layers.LayerNormalization())),
    "silu": (ROWS, after(layers.Dense(5, activation="silu"))),
    "sigmoid, tanh": (ROWS, after(layers.Dense(5, "sigmoid"), layers.Activation("tanh"))),
    "einsum of two axes": (SEQUENCES, after(layers.EinsumDense("abc,cde->abde", (5, 2, 5), bias_axes="de"))),
    "einsum over two axes": (SEQUENCES, after(layers.EinsumDense("abc,dbc->ad", (4,)))),
    "bare operations": (ROWS, products),
    "maximum, average": (ROWS, extremes),
    "residual": (IMAGES, residual),
    "average pooling": (IMAGES, after(layers.Conv2D(4, 3), layers.AveragePooling2D(2))),
    "product of tables": (IDS, crossed_tables),
    "tied table": (IDS, tied),
    "scaled with offset": (IMAGES, after(layers.Rescaling(1 / 2, offset=-1), layers.Conv2D(4, 3))),
}


@pytest.mark.parametrize("name", MODELS)
def test_integers_and_floats_agree(name, tmp_path):
    keras.utils.set_random_seed(1)
    x, build = MODELS[name]
    inputs = keras.Input(x.shape[1:], dtype=str(x.dtype), name="x")
    quantized = quantize_model(keras.Model(inputs, build(inputs)))
    quantized(x, training=True)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    assert not {"SIN", "COS"} & operators(path)  # what kept layers in float is gone
    answer = Interpreter(str(path)).get_signature_runner("serving_default")(x=x)["logit"]
    expected = quantized.predict(x, verbose=0)
    low, high = quantized.output_transforms[-1].range
    apart = np.abs(answer - expected) / ((high - low) / 255)
    assert apart.max() < 1.001 and np.mean(apart > 0.5) < 0.03, (apart.max(), np.mean(apart > 0.5))
    assert expected.std() > 2 * (high - low) / 255


def test_a_barrier_that_the_converter_has_changed_is_not_left_in_the_file():
    @tf.function(input_signature=[tf.TensorSpec((2, 6), tf.float32)])
    def changed(x):
        return tf.sin(tf.reshape(tf.cos(x), (3, 4)))

    content = tf.lite.TFLiteConverter.from_concrete_functions([changed.get_concrete_function()]).convert()
    with pytest.raises(UserError, match="has changed what keeps a layer in float"):
        remove_barriers(flatbuffer.parse(content))
