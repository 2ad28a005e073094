"""The weight that fades as the student catches up."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.schedules import FadingWeight


def run(weight, losses, training=True):
    return [float(weight.weigh(tf.constant(loss, "float32"), None, training)) for loss in losses]


def state(weight):
    return [float(each.value) for each in (weight.level, weight.average, weight.seen_steps)]


def test_it_is_worked_by_hand():
    # Level (6 + 2) / 2 = 4. Averages 4/2 + 4/2 = 4, 4/2 + 2/2 = 3, 3/2 + 1/2 = 2, 2/2 + 0/2 = 1;
    # w = (average/4 - 1/5) / (4/5) = 1, 11/16, 3/8, 1/16.
    weight = FadingWeight(warm_up_steps=2, momentum=0.5, floor=0.2)
    np.testing.assert_allclose(run(weight, [6, 2, 4, 2, 1, 0]), [6, 2, 4, 11 / 8, 3 / 8, 0], rtol=1e-5)
    np.testing.assert_allclose(state(weight), [4, 1, 2], rtol=1e-6)


def test_it_follows_an_independent_implementation():
    losses = np.random.default_rng(0).uniform(0, 3, 40) * np.linspace(1, 0.1, 40)
    level = average = losses[:10].mean()
    expected = list(losses[:10])
    for loss in losses[10:]:
        average = 0.9 * average + 0.1 * loss
        expected.append(loss * np.clip((average / level - 0.1) / 0.9, 0, 1))
    np.testing.assert_allclose(run(FadingWeight(10, momentum=0.9, floor=0.1), losses), expected, rtol=1e-4)


def test_it_falls_silent_at_the_floor_and_speaks_again_when_the_student_falls_back():
    weight = FadingWeight(warm_up_steps=1, momentum=0.0, floor=0.5)
    assert run(weight, [4, 2, 1, 3, 8]) == [4, 0, 0, 1.5, 8]


def test_evaluation_changes_nothing():
    weight = FadingWeight(warm_up_steps=2, momentum=0.5)
    assert run(weight, [5.0], training=False) == [5.0]
    assert state(weight) == [0, 0, 0]
    run(weight, [4, 4, 2])
    before = state(weight)
    assert run(weight, [8.0, 8.0], training=False) == [6.0, 6.0]  # w = 3/4
    assert state(weight) == before


def test_no_gradient_flows_through_the_weight():
    weight, student = FadingWeight(warm_up_steps=1, momentum=0.5), tf.Variable(2.0)
    run(weight, [8.0])
    with tf.GradientTape() as tape:
        weighted = weight.weigh(student**2, None, True)  # the average is 6, w = 3/4
    assert float(weighted) == 3.0
    assert float(tape.gradient(weighted, student)) == 3.0  # 3/4 * 2 * 2


def test_a_loss_that_is_not_finite_leaves_the_state():
    weight = FadingWeight(warm_up_steps=2, momentum=0.5)
    run(weight, [np.nan, 4, np.inf, 4, np.nan, 2])
    assert state(weight) == [4, 3, 2]


def test_a_student_that_matches_from_the_start_needs_no_teacher():
    assert run(FadingWeight(warm_up_steps=1), [0.0, 0.0, 1.0]) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_training_steps_update_the_state(jit_compile):
    weight, eager = (FadingWeight(warm_up_steps=2, momentum=0.5) for _ in range(2))
    step = tf.function(lambda loss: weight.weigh(loss, None, True), jit_compile=jit_compile)
    values = [float(step(tf.constant(loss))) for loss in (6.0, 2.0, 2.0, 1.0)]
    np.testing.assert_allclose(values, run(eager, [6, 2, 2, 1]), rtol=1e-6)
    assert state(weight) == state(eager)


def test_the_state_is_saved_and_is_not_trained(tmp_path):
    def model():
        inputs = keras.Input((2,))
        made = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        made.weight = FadingWeight(warm_up_steps=2)
        return made

    trained, fresh = model(), model()
    run(trained.weight, [5, 3, 2])
    assert len(trained.trainable_weights) == 2
    trained.save_weights(tmp_path / "it.weights.h5")
    fresh.load_weights(tmp_path / "it.weights.h5")
    assert state(fresh.weight) == state(trained.weight)
    assert run(fresh.weight, [2]) == run(trained.weight, [2])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"warm_up_steps": 0}, "`warm_up_steps` must be a positive number. Received: warm_up_steps=0"),
        (
            {"warm_up_steps": 5, "momentum": 1.0},
            "`momentum` must be a number from 0 to below 1. Received: momentum=1.0",
        ),
        ({"warm_up_steps": 5, "floor": -0.1}, "`floor` must be a number from 0 to below 1"),
        ({"warm_up_steps": 5, "floor": None}, "`floor` must be a finite number"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FadingWeight(**arguments)
