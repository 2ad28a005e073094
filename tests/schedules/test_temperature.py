"""What a temperature may be, and how it is read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.schedules import (
    AdaptiveTemperature,
    AnnealingSchedule,
    Linear,
    StepSchedule,
    UncertaintyWeight,
    WarmUp,
    check_temperature,
    resolve_temperature,
)

LOGITS = np.zeros((2, 3), "float32")
CosineDecay = keras.optimizers.schedules.CosineDecay


@pytest.mark.parametrize("value", [4, 4.0, np.float32(4), Linear(8.0, 1.0, 10), CosineDecay(4.0, 10, alpha=0.5)])
def test_positive_numbers_and_schedules_of_either_house_are_accepted(value):
    assert check_temperature(value) == value


@pytest.mark.parametrize("value", [0, -1.0, "3", None, float("nan"), float("inf"), True, [4.0], UncertaintyWeight()])
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(
        ValueError, match=r"`temperature` must be a positive number, a schedule or an adaptive.*Received"
    ):
        check_temperature(value)


@pytest.mark.parametrize("value", [WarmUp(4.0, 10), Linear(4.0, 0.0, 10), StepSchedule([5], [4.0, -1.0])])
def test_a_schedule_that_reaches_0_is_refused(value):
    with pytest.raises(ValueError, match="`temperature` must be a positive number at every step.*which goes from"):
        check_temperature(value)


def test_a_number_is_returned_as_it_is():
    assert resolve_temperature(3.0, None, LOGITS, LOGITS) == 3.0


def test_a_schedule_gives_a_float32_scalar_of_its_step():
    temperature = resolve_temperature(AnnealingSchedule(4, steps_per_temperature=10), tf.constant(10), LOGITS, LOGITS)
    assert temperature.dtype == tf.float32 and float(temperature) == 0.5


def test_a_schedule_without_a_step_says_who_passes_it():
    with pytest.raises(ValueError, match="tfdistill.Distiller passes it, keras.distillation.Distiller does not"):
        resolve_temperature(Linear(8.0, 1.0, 10), None, LOGITS, LOGITS)


def test_a_keras_schedule_that_ends_at_0_stops_at_a_hundredth():
    assert float(resolve_temperature(CosineDecay(4.0, 10), 10, LOGITS, LOGITS)) == pytest.approx(0.01)
    assert float(resolve_temperature(CosineDecay(4.0, 10), 5, LOGITS, LOGITS)) == pytest.approx(2.0)


def test_an_adaptive_temperature_of_ones_own_sees_logits_step_and_task():
    class Spread(AdaptiveTemperature):
        def resolve(self, step, teacher_logits, student_logits, task="auto"):
            assert (step, task) == (7, "binary")
            return keras.ops.std(teacher_logits, axis=-1)

    given = check_temperature(Spread())
    assert resolve_temperature(given, 7, tf.constant([[1.0, 3.0]]), LOGITS, task="binary").numpy() == [1.0]
