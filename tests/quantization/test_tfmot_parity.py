"""Beside TFMOT's quantizers, and its whole quantised models, on tf_keras twins."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.quantization import QuantizedOutput, QuantizedWeight, QuantizeScheme, quantize_apply, quantize_model

tfmot = pytest.importorskip("tensorflow_model_optimization")
tf_keras = pytest.importorskip("tf_keras")
STEPS, SEED = 5, 0
RANDOM = np.random.default_rng(0)


def quantizers():
    return tfmot.quantization.keras.quantizers


@pytest.mark.parametrize("per_axis", (False, True))
@pytest.mark.parametrize("bits", (4, 8))
def test_weights_are_rounded_as_by_the_last_value_quantizer(per_axis, bits):
    peer = quantizers().LastValueQuantizer(num_bits=bits, per_axis=per_axis, symmetric=True, narrow_range=True)
    layer = tf_keras.layers.Layer()
    state = peer.build((3, 3, 2, 5), "kernel", layer)
    ours = QuantizedWeight(bits=bits, channel_axes=(3,) if per_axis else ())
    ours.build((3, 3, 2, 5))
    for _ in range(STEPS):
        value = tf.constant(RANDOM.normal(size=(3, 3, 2, 5)), tf.float32)
        expected = peer(value, True, state)
        np.testing.assert_allclose(ours(value, training=True), expected, atol=1e-6)
        np.testing.assert_allclose(ours(value), peer(value, False, state), atol=1e-6)


def test_activations_are_rounded_as_by_the_moving_average_quantizer():
    peer = quantizers().MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
    state = peer.build((None, 4), "output", tf_keras.layers.Layer())
    ours = as_tfmot(QuantizedOutput(ema_decay=0.999))
    for _ in range(STEPS):
        value = tf.constant(RANDOM.normal(scale=4, size=(16, 4)), tf.float32)
        np.testing.assert_allclose(ours(value, training=True), peer(value, True, state), atol=1e-5)
        np.testing.assert_allclose(ours(value), peer(value, False, state), atol=1e-5)
        np.testing.assert_allclose(ours.range, [float(state["min_var"]), float(state["max_var"])], rtol=1e-6)


def test_with_equal_ranges_activations_are_rounded_as_by_the_all_values_quantizer():
    peer = quantizers().AllValuesQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
    state = peer.build((None, 4), "output", tf_keras.layers.Layer())
    ours = QuantizedOutput()
    ours.build()
    for _ in range(STEPS):
        value = tf.constant(RANDOM.normal(size=(16, 4)), tf.float32)
        expected = peer(value, True, state)
        ours.low.assign(float(state["min_var"]))
        ours.high.assign(float(state["max_var"]))
        np.testing.assert_allclose(ours(value), expected, atol=1e-6)


def as_tfmot(transform):
    """A transform whose range starts and moves as TFMOT's."""
    if not transform.built:
        transform.build()
    transform.low.assign(-6.0)
    transform.high.assign(6.0)
    transform.step.assign(10**9)
    return transform


def network(api):
    """A small network with every seam: kernel and normalisation, fused and separate ReLU, logits."""
    api.utils.set_random_seed(SEED)
    return api.Sequential(
        [
            api.Input((6, 6, 2)),
            api.layers.Conv2D(4, 3, activation="relu"),
            api.layers.Conv2D(4, 3),
            api.layers.BatchNormalization(),
            api.layers.ReLU(),
            api.layers.Flatten(),
            api.layers.Dense(6, activation="relu"),
            api.layers.Dense(3),
        ]
    )


def test_a_whole_network_trains_as_tfmots_does():
    twin, model = network(tf_keras), network(keras)
    model.set_weights(twin.get_weights())
    theirs = tfmot.quantization.keras.quantize_model(twin)
    # TFMOT has one scale for a Dense kernel, one a channel for convolutions.
    scheme = QuantizeScheme(ema_decay=0.999, overrides={"dense*": QuantizeScheme(per_channel=False, ema_decay=0.999)})
    ours = quantize_model(model, scheme)
    for layer, transform in ours.transformed_outputs():
        if layer is not model:  # TFMOT takes the extremes of all inputs, which for equal batches is ours
            as_tfmot(transform)
    # Fixed and few numbers: the two libraries sum in different orders, and one that lies in the middle of two steps of 12 / 255
    # may go up in one and down in the other, which is a thousandth of the loss.
    random = np.random.default_rng(SEED)
    x = random.normal(size=(4, 6, 6, 2)).astype(np.float32)
    y = random.normal(size=(4, 3)).astype(np.float32)
    theirs.compile(tf_keras.optimizers.SGD(0.01), "mse")
    ours.compile(keras.optimizers.SGD(0.01), "mse")
    for _ in range(STEPS):
        np.testing.assert_allclose(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), rtol=1e-4)
    # Where a number lies in the middle of two steps, here and there one more or less of 12 / 255.
    apart = np.abs(ours.predict(x, verbose=0) - theirs.predict(x, verbose=0)) / (12 / 255)
    assert apart.max() < 2.5 and np.median(apart) < 1e-3
    kernels = [variable.numpy() for variable in theirs.trainable_variables if "kernel" in variable.name]
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            peer = next(one for one in kernels if one.shape == tuple(layer.kernel.shape))
            np.testing.assert_allclose(layer.kernel.numpy(), peer, atol=2e-4)


def dense_twin():
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2, name="one"), tf_keras.layers.Dense(1)])


def test_a_tf_keras_model_gets_what_tfmot_makes_of_it():
    expected = tfmot.quantization.keras.quantize_model(dense_twin())
    made = quantize_model(dense_twin())
    assert [type(layer) for layer in made.layers] == [type(layer) for layer in expected.layers]
    x = RANDOM.normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(made(x, training=True), expected(x, training=True))


def test_tf_keras_layers_are_annotated_and_applied_by_tfmot():
    from tfdistill.quantization import quantize_annotate_layer, quantize_annotate_model

    layer = quantize_annotate_layer(tf_keras.layers.Dense(2))
    assert type(layer).__name__ == "QuantizeAnnotate"
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer, tf_keras.layers.Dense(1)])
    applied = quantize_apply(model)
    assert [type(one).__name__ for one in applied.layers] == ["QuantizeLayer", "QuantizeWrapperV2", "Dense"]
    assert type(quantize_apply(quantize_annotate_model(dense_twin())).layers[1]).__name__ == "QuantizeWrapperV2"


def test_our_schemes_and_names_of_layers_are_refused_for_tf_keras():
    with pytest.raises(ValueError, match="scheme of TFMOT's"):
        quantize_model(dense_twin(), QuantizeScheme())
    with pytest.raises(ValueError, match="`layers` works for Keras 3"):
        quantize_model(dense_twin(), layers=["one"])
