import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.quantization import QuantizedOutput


def built(**settings):
    transform = QuantizedOutput(**settings)
    transform.build()
    return transform


def test_before_the_first_batch_nothing_is_rounded():
    value = np.array([0.1234, -5.0], np.float32)
    transform = built()
    np.testing.assert_array_equal(transform(value), value)
    assert transform.is_waiting


def test_the_first_batch_sets_the_range_and_zero_is_always_in_it():
    transform = built()
    transform(np.array([2.0, 5.0], np.float32), training=True)
    assert transform.range == (0.0, 5.0)
    transform = built()
    transform(np.array([-2.0, -1.0], np.float32), training=True)
    assert transform.range == (-2.0, 0.0)


def test_the_range_is_a_moving_average_that_keeps_up_in_the_beginning():
    transform = built(ema_decay=0.15)
    for high in (1.0, 2.0, 4.0, 8.0):
        transform(np.array([high], np.float32), training=True)
    # Step n leaves min(.15, n / (n + 9)): 0, .1, .15, .15.
    second = 0.1 * 1 + 0.9 * 2
    third = 0.15 * second + 0.85 * 4
    assert transform.range == (0.0, pytest.approx(0.15 * third + 0.85 * 8))


def test_outside_training_the_range_stays():
    transform = built()
    transform(np.array([-1.0, 1.0], np.float32), training=True)
    transform(np.array([-9.0, 9.0], np.float32))
    assert transform.range == (-1.0, 1.0)


@pytest.mark.parametrize(("low", "high"), ((-1.3, 2.2), (0.0, 6.0), (-4.0, 0.0), (-0.001, 90.0)))
def test_values_are_those_of_tensorflows_fake_quantisation(low, high):
    value = np.random.default_rng(0).normal(scale=3, size=500).astype(np.float32)
    for ranges in ("ema", "learned"):
        transform = built(ranges=ranges, ema_decay=0.999999)
        transform.low.assign(low)
        transform.high.assign(high)
        if ranges == "ema":
            transform.step.assign(10**9)
        expected = tf.quantization.fake_quant_with_min_max_vars(value, low, high)
        for training in (False, True):
            np.testing.assert_allclose(transform(value, training=training), expected, atol=2e-4)
    levels = (np.asarray(expected) - low) / ((high - low) / 255)
    assert len(np.unique(np.round(levels))) <= 256


def test_values_beyond_the_range_are_cut_off_and_get_no_gradient():
    transform, value = built(fixed=(-1, 1)), tf.constant([0.3, 5.0, -5.0])
    with tf.GradientTape() as tape:
        tape.watch(value)
        rounded = transform(value)
    np.testing.assert_allclose(rounded, [0.3, 1, -1], atol=0.005)
    assert tape.gradient(rounded, value).numpy().tolist() == [1, 0, 0]


def test_learned_ends_move_towards_a_lower_loss():
    transform = built(ranges="learned")
    value = np.linspace(-1, 1, 101).astype(np.float32)
    value[0] = -8.0  # an outlier that makes all steps coarse
    weights = np.ones(101, np.float32)
    weights[0] = 0
    transform(value, training=True)
    assert transform.range == (-8.0, 1.0)
    optimizer = keras.optimizers.Adam(0.05)
    losses = []
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weights * (transform(value, training=True) - value) ** 2)
        optimizer.apply(
            tape.gradient(loss, [one.value for one in transform.trainable_variables]), transform.trainable_variables
        )
        losses.append(float(loss))
    assert len(transform.trainable_variables) == 2 and losses[-1] < 0.5 * losses[0]


def test_the_delay_observes_without_rounding():
    transform = built(delay_steps=2)
    value = np.array([-1.0, 0.1234], np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(transform(value, training=True), value)
    assert transform.range[0] == -1.0 and transform.is_waiting
    assert np.abs(transform(value, training=True).numpy() - value).max() > 0


@pytest.mark.parametrize("ranges", ("ema", "learned"))
def test_graph_eager_and_xla_agree(ranges):
    value = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    results = []
    for wrap in (lambda f: f, tf.function, tf.function(jit_compile=True)):
        transform = built(ranges=ranges)
        step = wrap(lambda x, transform=transform: transform(x, training=True))
        step(value)
        results.append((np.asarray(step(value * 2)), transform.range))
    for rounded, found in results[1:]:
        np.testing.assert_allclose(rounded, results[0][0], atol=1e-6)
        np.testing.assert_allclose(found, results[0][1], rtol=1e-6)
