import keras
import numpy as np
import pytest

from tfdistill.losses import reduce_loss

VALUES = np.array([1.0, 3.0, 5.0], "float32")
WEIGHTS = np.array([1.0, 0.0, 2.0], "float32")


@pytest.mark.parametrize(
    "reduction, expected",
    [
        ("sum_over_batch_size", 11 / 3),
        ("mean", 11 / 3),
        ("sum", 11),
        ("mean_with_sample_weight", 11 / 3),
        (None, 11 / 3),
    ],
)
def test_reductions_worked_by_hand(reduction, expected):
    np.testing.assert_allclose(reduce_loss(VALUES, WEIGHTS, reduction=reduction), expected, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_reductions_are_those_of_keras(reduction):
    loss = keras.losses.MeanAbsoluteError(reduction=reduction)
    weights = np.array([0.5, 2.0, 1.0], "float32")
    expected = loss(np.zeros((3, 1)), VALUES[:, None], sample_weight=weights)
    np.testing.assert_allclose(reduce_loss(VALUES, weights, reduction=reduction), expected, rtol=1e-6)


def test_a_weight_for_each_example_counts_for_all_its_time_steps():
    values = np.array([[1.0, 3.0], [5.0, 7.0]], "float32")
    for weights in ([2.0, 0.0], [[2.0], [0.0]], [[2.0, 2.0], [0.0, 0.0]]):
        np.testing.assert_allclose(reduce_loss(values, np.array(weights, "float32")), (2 + 6) / 4)


def test_weights_with_a_last_dimension_of_one_fit_flat_values():
    np.testing.assert_allclose(reduce_loss(VALUES, WEIGHTS[:, None]), 11 / 3, rtol=1e-6)


def test_masked_values_count_neither_above_nor_below():
    mask = np.array([True, False, True])
    np.testing.assert_allclose(reduce_loss(VALUES, mask=mask), 3.0)
    np.testing.assert_allclose(reduce_loss(VALUES, WEIGHTS, mask=mask), (1 + 10) / 2)
    assert reduce_loss(VALUES, mask=np.zeros(3, bool)) == 0.0


def test_float16_values_are_summed_in_float32():
    assert reduce_loss(np.full(4096, 100.0, "float16"), reduction="sum") == 409600.0
