"""The largest few logits and the mass of the rest: numbers worked by hand, and by NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.soft_targets import write_soft_targets
from tfdistill.soft_targets.top_k import compress, index_dtype, restore


def log_softmax(logits, temperature=1.0):
    scaled = np.asarray(logits, "float64") / temperature
    scaled -= scaled.max(-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))


def test_the_rest_is_the_log_of_the_other_masses():
    # e^z = 1, 8, 2, 4, 3: the top two are 8 and 4, the others weigh 1 + 2 + 3 = 6, each 2 when spread evenly.
    logits = np.log([[1.0, 8.0, 2.0, 4.0, 3.0]]).astype("float32")
    columns = compress(tf.constant(logits), 2)
    np.testing.assert_allclose(columns["top_logits"], np.log([[8.0, 4.0]]), rtol=1e-6)
    np.testing.assert_array_equal(columns["top_classes"], [[1, 3]])
    np.testing.assert_allclose(columns["rest"], [np.log(6.0)], rtol=1e-6)
    np.testing.assert_allclose(np.exp(restore(columns, 5)), [[2.0, 8.0, 2.0, 4.0, 2.0]], rtol=1e-6)


def test_equal_logits_are_counted_once():
    columns = compress(tf.zeros([1, 4]), 3)  # each weighs 1; one is left
    np.testing.assert_array_equal(columns["top_classes"], [[0, 1, 2]])
    np.testing.assert_allclose(columns["rest"], [0.0], atol=1e-7)
    columns = compress(tf.zeros([1, 7]), 3)  # four are left
    np.testing.assert_allclose(columns["rest"], [np.log(4.0)], rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_top_probabilities_are_exact_at_temperature_one(scale):
    logits = np.random.default_rng(2).uniform(-scale, scale, (50, 30)).astype("float32")
    columns = compress(tf.constant(logits), 4)
    restored = restore(columns, 30).numpy()
    top = columns["top_classes"].numpy().astype(int)
    for row in range(50):
        np.testing.assert_allclose(
            log_softmax(restored[row])[top[row]], log_softmax(logits[row])[top[row]], rtol=1e-5, atol=1e-4
        )
    np.testing.assert_allclose(np.exp(log_softmax(restored)).sum(-1), 1.0, rtol=1e-6)


def test_the_top_gets_no_more_than_its_due_at_a_higher_temperature():
    logits = np.random.default_rng(3).normal(size=(50, 30)).astype("float32") * 3.0
    columns = compress(tf.constant(logits), 4)
    top = columns["top_classes"].numpy().astype(int)
    restored = np.take_along_axis(log_softmax(restore(columns, 30).numpy(), 4.0), top, -1)
    original = np.take_along_axis(log_softmax(logits, 4.0), top, -1)
    assert (restored < original + 1e-6).all() and (restored < original - 0.01).any()


def test_all_but_one_class_is_everything():
    logits = np.random.default_rng(4).normal(size=(9, 6)).astype("float32")
    np.testing.assert_allclose(restore(compress(tf.constant(logits), 5), 6), logits, rtol=1e-5, atol=1e-6)


def test_classes_that_are_ruled_out_weigh_nothing():
    logits = tf.constant([[1.0, -np.inf, 2.0, -np.inf]])
    columns = compress(logits, 2)
    np.testing.assert_array_equal(columns["rest"], [-np.inf])
    np.testing.assert_array_equal(restore(columns, 4), logits)
    columns = compress(logits, 3)
    np.testing.assert_array_equal(restore(columns, 4), logits)


def test_indices_are_as_small_as_the_classes_allow():
    assert [index_dtype(classes) for classes in (256, 257, 65536, 65537)] == [tf.uint8, tf.uint16, tf.uint16, tf.int32]


@pytest.mark.parametrize("classes", [6, 300])
def test_a_cache_keeps_the_top_and_spreads_the_rest(tmp_path, classes):
    logits = np.random.default_rng(6).normal(size=(20, classes)).astype("float32")
    soft_targets = write_soft_targets(tmp_path / "soft", lambda x: x, logits, np.arange(20), fingerprint="x", top_k=3)
    found = soft_targets.lookup(np.arange(20)[::-1])["logits"][::-1]
    for row in range(20):
        top, others = np.argsort(-logits[row])[:3], np.argsort(-logits[row])[3:]
        np.testing.assert_array_equal(found[row, top], logits[row, top])
        mean = np.log(np.exp(logits[row, others].astype("float64")).mean())
        np.testing.assert_allclose(found[row, others], np.full(classes - 3, mean), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shape, settings, message",
    [
        ((4, 1), {}, "top_k: expected a teacher with one softmax"),
        ((4, 3), {"task": "binary"}, "top_k: expected a teacher with one softmax"),
        ((4, 2, 3), {}, "top_k: expected a teacher with one softmax"),
        ((4, 2), {}, "top_k: expected less than the teacher's 2 classes, received 2"),
    ],
)
def test_outputs_that_have_no_top_are_refused(tmp_path, shape, settings, message):
    with pytest.raises(ValueError, match=message):
        write_soft_targets(
            tmp_path / "soft",
            lambda x: x,
            np.zeros(shape, "float32"),
            np.arange(4),
            fingerprint="x",
            top_k=2,
            **settings,
        )
