"""Which changes of an input are seen, and which are taken for rounding."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.soft_targets.input_sketches import differs, named_inputs, sketch

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (20, 32, 32, 3)).astype("uint8")
IDS = RANDOM.integers(0, 10**7, (20, 5))
WORDS = np.array([["red", "small"]] * 10 + [["blue", "größe"]] * 10)


def seen(before, after):
    return differs(sketch({"": before})[:, 0], after)


@pytest.mark.parametrize(
    "before, after",
    [
        (PICTURES, PICTURES.astype("float32")),
        (PICTURES / 255.0, tf.cast(PICTURES, tf.float32) / 255.0),
        (PICTURES / 255.0, tf.cast(PICTURES, tf.float32) * (1 / 255)),
        (PICTURES, tf.constant(PICTURES)),
        (IDS, IDS.astype("int32")),
        (WORDS, tf.constant(WORDS)),
        (WORDS, WORDS.astype(object)),
        (np.array([[np.nan, 1.0]]), np.array([[np.nan, 1.0]])),
        (np.zeros((3, 4)), np.zeros((3, 4), "float32")),
    ],
    ids=["float bytes", "other division", "product", "tensor", "int32", "string tensor", "objects", "nan", "zeros"],
)
def test_the_same_examples_in_other_dtypes_are_the_same(before, after):
    assert not seen(before, after).any()


@pytest.mark.parametrize(
    "before, after",
    [
        (PICTURES, PICTURES[:, :, ::-1]),
        (PICTURES, np.roll(PICTURES, 1, axis=1)),
        (PICTURES, PICTURES / 255.0),
        (IDS, IDS[:, [1, 0, 2, 3, 4]]),
        (IDS, IDS + np.array([0, 0, 0, 0, 1])),
        (WORDS, np.char.upper(WORDS)),
        (np.ones((3, 4)), np.full((3, 4), np.nan)),
        (np.ones((3, 4)), np.ones((3, 4)) * 1.001),
    ],
    ids=["flip", "shift", "scale", "order", "one id", "words", "nan", "small factor"],
)
def test_changes_are_seen_in_every_example(before, after):
    assert seen(before, after).all()


def test_noise_of_a_grey_level_is_seen_in_almost_every_example():
    assert seen(PICTURES, PICTURES + RANDOM.normal(size=PICTURES.shape)).sum() >= 18


def test_rows_have_sketches_of_their_own():
    together, one = sketch({"": PICTURES}), sketch({"": PICTURES[7:8]})
    np.testing.assert_allclose(together[7], one[0], rtol=1e-5)
    assert len(np.unique(together)) == 20


def test_inputs_are_named_by_their_place():
    assert list(named_inputs({"b": 1, "a": {"c": 2}})) == ["a/c", "b"]
    assert list(named_inputs((1, 2))) == ["0", "1"]
    assert list(named_inputs(np.zeros(3))) == [""]
