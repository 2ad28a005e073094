"""Schedules: values worked by hand, and those that can never run refused."""

import keras
import pytest

from tfdistill.sparsity import ConstantSparsity, PolynomialDecay, PruningSchedule


def turns(schedule, steps):
    return [step for step in range(1, steps + 1) if schedule(step)[0]]


def test_masks_are_updated_from_begin_to_end_at_the_frequency():
    assert turns(ConstantSparsity(0.5, begin_step=3, end_step=10, frequency=3), 20) == [3, 6, 9]
    assert turns(ConstantSparsity(0.5, begin_step=0, frequency=7), 20) == [7, 14]  # step 0 is before training
    assert turns(ConstantSparsity(0.5, begin_step=4, end_step=4), 20) == [4]


def test_polynomial_decay_reaches_the_final_sparsity():
    schedule = PolynomialDecay(0.2, 0.8, begin_step=10, end_step=20, power=2, frequency=5)
    assert turns(schedule, 40) == [10, 15, 20]
    # 0.8 - 0.6 (1 - f)^2 at f = 0, 0, 1/2, 1, 1
    assert [float(schedule(step)[1]) for step in (1, 10, 15, 20, 30)] == pytest.approx([0.2, 0.2, 0.65, 0.8, 0.8])


@pytest.mark.parametrize("schedule", [ConstantSparsity(0.25, 1, 9, 2), PolynomialDecay(0.0, 0.5, 2, 8, 1, 3)])
def test_schedules_come_back_from_their_config(schedule):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


def test_the_config_of_a_schedule_written_for_tfmot_is_understood():
    config = {"target_sparsity": 0.5, "begin_step": 2}
    assert ConstantSparsity.from_config({"class_name": "ConstantSparsity", "config": config}).begin_step == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantSparsity(1.0, 0), "`target_sparsity` must be a share of zeros from 0 to below 1. .*=1.0"),
        (lambda: ConstantSparsity(-0.1, 0), "`target_sparsity`"),
        (lambda: ConstantSparsity(0.5, -1), "`begin_step` must be 0 or more"),
        (lambda: ConstantSparsity(0.5, 0.5), "`begin_step` must be a whole number"),
        (lambda: ConstantSparsity(0.5, 0, frequency=0), "`frequency` must be 1 or more"),
        (lambda: ConstantSparsity(0.5, 10, end_step=9), "`end_step` must not be before `begin_step`"),
        (lambda: ConstantSparsity(0.5, 0, end_step=-2), "`end_step` must be -1"),
        (lambda: ConstantSparsity(0.5, 0, end_step=99), "first updated at step 100, after end_step=99"),
        (lambda: ConstantSparsity(0.5, 0, end_step=0, frequency=1), "first updated at step 1, after end_step=0"),
        (lambda: PolynomialDecay(0.0, 0.5, 0, -1), "`end_step` must be 0 or more"),
        (lambda: PolynomialDecay(0.0, 0.5, 0, 50), "first updated at step 100"),
        (lambda: PolynomialDecay(0.0, 0.5, 5, 5), "`end_step` must be after `begin_step`"),
        (lambda: PolynomialDecay(1.5, 0.5, 0, 100), "`initial_sparsity`"),
        (lambda: PolynomialDecay(0.0, 1.5, 0, 100), "`final_sparsity`"),
        (lambda: PolynomialDecay(0.0, 0.5, 0, 100, power=0), "`power` must be positive"),
    ],
)
def test_schedules_that_are_wrong_or_can_never_run_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_schedule_of_ones_own_must_say_when_and_how_much():
    class Nothing(PruningSchedule):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define `__call__"):
        Nothing()(1)
    with pytest.raises(NotImplementedError, match="get_config"):
        Nothing().get_config()
