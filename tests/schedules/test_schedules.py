"""Values of the schedules: against Keras's learning-rate schedules where there is one, else worked by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.schedules import AnnealingSchedule, Constant, Cosine, Linear, Schedule, StepSchedule, WarmUp, value_at

PEERS = keras.optimizers.schedules
STEPS = [0, 1, 2, 3, 24, 25, 26, 50, 99, 100, 101, 1000]


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (Linear(1.0, 0.1, 100), PEERS.PolynomialDecay(1.0, 100, 0.1)),
        (Linear(0.0, 3.0, 50), PEERS.PolynomialDecay(0.0, 50, 3.0)),
        (Cosine(8.0, 2.0, 100), PEERS.CosineDecay(8.0, 100, alpha=0.25)),
        (
            StepSchedule([2, 25, 100], [1.0, 0.5, 0.25, 0.0]),
            PEERS.PiecewiseConstantDecay([2, 25, 100], [1.0, 0.5, 0.25, 0.0]),
        ),
        (WarmUp(3.0, 25), PEERS.CosineDecay(0.0, 10**9, warmup_target=3.0, warmup_steps=25)),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_values_are_those_of_keras(ours, theirs):
    for step in STEPS:
        np.testing.assert_allclose(ours(step), theirs(step), rtol=1e-5, atol=1e-6)


def test_warm_up_to_a_cosine_is_kerass_cosine_with_a_warm_up():
    ours = WarmUp(Cosine(3.0, 0.0, steps=75, begin=25), steps=25)
    theirs = PEERS.CosineDecay(0.0, 75, warmup_target=3.0, warmup_steps=25)
    for step in STEPS:
        np.testing.assert_allclose(ours(step), theirs(step), rtol=1e-5, atol=1e-6)


def test_a_line_waits_until_it_begins():
    weight = Linear(2.0, 4.0, steps=10, begin=100)
    assert [float(weight(step)) for step in (0, 100, 105, 110, 999)] == [2.0, 2.0, 3.0, 4.0, 4.0]


def test_a_cosine_is_worked_by_hand():
    # (1 + cos(60°)) / 2 = 3/4 after a third of the way, (1 + cos(120°)) / 2 = 1/4 after two thirds.
    values = [float(Cosine(0.0, -1.0, steps=30)(step)) for step in (0, 10, 20, 30, 31)]
    np.testing.assert_allclose(values, [0.0, -0.25, -0.75, -1.0, -1.0], atol=1e-6)


def test_at_a_boundary_the_value_before_it_still_holds():
    schedule = StepSchedule([100, 200], [3.0, 2.0, 1.0])
    assert [float(schedule(step)) for step in (0, 99, 100, 101, 200, 201)] == [3.0, 3.0, 3.0, 2.0, 2.0, 1.0]


def test_annealing_is_one_minus_a_falling_temperature():
    # Seven temperatures of two steps each: Φ = 1 - (T - 1)/7 for T = 7, 6, ..., 1.
    schedule = AnnealingSchedule(7, steps_per_temperature=2)
    expected = [1 - (temperature - 1) / 7 for temperature in (7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1, 1)]
    np.testing.assert_allclose([float(schedule(step)) for step in range(16)], expected, rtol=1e-6)


def test_annealing_turns_exactly_at_multiples_also_where_division_rounds():
    schedule = AnnealingSchedule(10, steps_per_temperature=49)
    compiled = tf.function(schedule, jit_compile=True)
    for n in range(1, 10):
        np.testing.assert_allclose(compiled(tf.constant(49 * n)), (n + 1) / 10, rtol=1e-6)
        np.testing.assert_allclose(compiled(tf.constant(49 * n - 1)), n / 10, rtol=1e-6)


def test_one_temperature_and_one_value_are_constants():
    assert float(AnnealingSchedule(1, steps_per_temperature=5)(0)) == 1.0
    assert float(StepSchedule([], [0.3])(7)) == pytest.approx(0.3)


def test_warm_up_of_a_schedule_multiplies_it():
    schedule = WarmUp(Linear(4.0, 0.0, steps=40), steps=20)
    assert [float(schedule(step)) for step in (0, 10, 20, 30)] == [0.0, 1.5, 2.0, 1.0]


def test_a_schedule_of_keras_can_be_warmed_up_and_saved():
    schedule = WarmUp(PEERS.PolynomialDecay(4.0, 40, 0.0), steps=20)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(schedule(10)) == float(copy(10)) == 1.5
    assert schedule.bounds is None


@pytest.mark.parametrize(
    "schedule, bounds",
    [
        (WarmUp(-2.0, 5), (-2.0, 0)),
        (WarmUp(Linear(1.0, 3.0, 5), 5), (0, 3.0)),
        (Linear(3.0, 1.0, 5), (1.0, 3.0)),
        (AnnealingSchedule(4, steps_per_temperature=1), (0.25, 1.0)),
    ],
)
def test_bounds_are_the_lowest_and_the_highest_value(schedule, bounds):
    assert schedule.bounds == bounds


def test_an_optimizers_counter_can_be_the_step():
    optimizer = keras.optimizers.SGD()
    optimizer.build([])
    optimizer.iterations.assign(5)
    assert float(value_at(Linear(0.0, 1.0, 10), optimizer.iterations)) == 0.5


def test_a_number_needs_no_step_and_a_schedule_does():
    assert value_at(3.0, None) == 3.0
    for schedule in (Constant(1.0), WarmUp(1.0, 5), PEERS.CosineDecay(1.0, 5)):
        with pytest.raises(ValueError, match=r"tfdistill.Distiller passes it.*Received: step=None"):
            value_at(schedule, None)


def test_a_schedule_of_ones_own_needs_a_call_only():
    class Inverse(Schedule):
        def __call__(self, step):
            return 1.0 / (1.0 + keras.ops.cast(step, "float32"))

    assert float(value_at(Inverse(), 3)) == 0.25
    assert Inverse().bounds is None


def test_numbers_of_numpy_become_numbers_of_python():
    config = Linear(np.float32(1), np.float64(0), np.int64(100)).get_config()
    assert [type(value) for value in config.values()] == [float, float, int, int]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Constant("4"), r"`value` must be a finite number. Received: value='4'"),
        (lambda: Constant(True), r"`value`.*Received: value=True"),
        (lambda: Linear(math.nan, 1, 5), r"`initial` must be a finite number. Received: initial=nan"),
        (lambda: Linear(0, math.inf, 5), "`final` must be a finite number"),
        (lambda: Cosine(0, 1, 0), "`steps` must be a positive number. Received: steps=0"),
        (lambda: Cosine(0, 1, 5, begin=-1), "`begin` must be a number that is not negative. Received: begin=-1"),
        (lambda: StepSchedule([5, 5], [1, 2, 3]), r"`boundaries` must increase. Received: boundaries=\[5, 5\]"),
        (lambda: StepSchedule([5], [1]), "`values` must have one number more than `boundaries`"),
        (lambda: StepSchedule(5, [1, 2]), "`boundaries` must be a list of numbers. Received: boundaries=5"),
        (lambda: WarmUp("x", 5), "`target` must be a number or a schedule. Received: target='x'"),
        (lambda: WarmUp(1, None), "`steps` must be a positive number. Received: steps=None"),
        (lambda: AnnealingSchedule(2.5, steps_per_temperature=1), "`max_temperature` must be a whole number"),
        (lambda: AnnealingSchedule(7, steps_per_temperature=0), "`steps_per_temperature` must be a positive number"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
