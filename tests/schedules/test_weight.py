"""Weights of losses and shares of the total: numbers, schedules, adaptive ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.schedules import (
    Constant,
    CurriculumTemperature,
    FadingWeight,
    Linear,
    UncertaintyWeight,
    WarmUp,
    check_share,
    check_weight,
    share_of,
    weigh,
)

CosineDecay = keras.optimizers.schedules.CosineDecay
LOSS = tf.constant(8.0)


@pytest.mark.parametrize("value", [0, 2, 0.5, np.float32(0.5), WarmUp(1.0, 5), CosineDecay(1.0, 5), FadingWeight(5)])
def test_numbers_schedules_and_adaptive_weights_are_weights(value):
    assert check_weight(value, "weight") == value


@pytest.mark.parametrize("value", ["1", None, float("nan"), True, [1.0], CurriculumTemperature(5)])
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(
        ValueError, match="`distillation_loss_weights` must be a number, a schedule or an adaptive weight"
    ):
        check_weight(value, "distillation_loss_weights")


def test_a_number_weighs_without_a_step():
    assert float(weigh(0.25, LOSS, None, training=True)) == 2.0


@pytest.mark.parametrize("weight", [Linear(0.0, 1.0, 8), keras.optimizers.schedules.PolynomialDecay(0.0, 8, 1.0)])
def test_a_schedule_weighs_by_the_step(weight):
    assert float(weigh(weight, LOSS, tf.constant(2), training=True)) == 2.0
    assert float(weigh(weight, LOSS, 100, training=False)) == 8.0
    with pytest.raises(ValueError, match="step=None"):
        weigh(weight, LOSS, None, training=True)


def test_the_gradient_of_the_loss_is_weighted():
    student = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        weighted = weigh(Linear(0.0, 1.0, 8), student**2, 2, training=True)
    assert float(tape.gradient(weighted, student)) == 1.5


@pytest.mark.parametrize("value", [0, 1, 0.5, Linear(1.0, 0.0, 8), WarmUp(1.0, 8), CosineDecay(1.0, 5)])
def test_numbers_and_schedules_from_0_to_1_are_shares(value):
    assert check_share(value) == value


@pytest.mark.parametrize("value", [-0.1, 1.1, "1", None, float("nan"), True, UncertaintyWeight()])
def test_other_shares_are_refused(value):
    with pytest.raises(ValueError, match="`student_loss_weight` must be a number from 0 to 1, or a schedule.*Received"):
        check_share(value)


@pytest.mark.parametrize("value", [Constant(2.0), Linear(0.0, 1.5, 8), WarmUp(-0.5, 8)])
def test_a_schedule_that_leaves_0_to_1_is_refused(value):
    with pytest.raises(
        ValueError, match="`student_loss_weight` must be a number from 0 to 1 at every step.*which goes"
    ):
        check_share(value)


def test_a_share_is_a_number_as_it_is_or_a_schedules_value_kept_in_0_to_1():
    assert share_of(0.3, None) == 0.3
    assert float(share_of(Linear(0.0, 1.0, 4), 3)) == 0.75
    assert float(share_of(keras.optimizers.schedules.PolynomialDecay(3.0, 4, -1.0), 0)) == 1.0
    assert float(share_of(keras.optimizers.schedules.PolynomialDecay(3.0, 4, -1.0), 4)) == 0.0
