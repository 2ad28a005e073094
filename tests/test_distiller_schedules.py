"""Weights and temperatures that change with the training, and a teacher that is not asked in every step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import DistillationLoss, LogitsDistillation
from tfdistill.schedules import CurriculumTemperature, FadingWeight, Linear, StepSchedule, UncertaintyWeight

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(8, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 8)
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(seed=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@keras.saving.register_keras_serializable(package="test")
class Two(DistillationLoss):
    """A loss of 2, whatever the outputs; it depends on the student so that there is a gradient."""

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        return 2.0 + 0.0 * keras.ops.sum(student_outputs)


def run(distiller, steps, optimizer=None, **arguments):
    """The logs of so many training steps on the same batch; the learning rate is 0 unless an optimizer is given."""
    distiller.compile(optimizer or keras.optimizers.SGD(0.0), HARD, **arguments)
    return [distiller.train_on_batch(X, Y, return_dict=True) for _ in range(steps)]


def test_a_scheduled_weight_follows_the_steps():
    logs = run(Distiller(network(), network(2), Two(), [Linear(1.0, 0.0, steps=4)], student_loss_weight=0.0), 6)
    np.testing.assert_allclose([log["distillation_loss"] for log in logs], [2.0, 1.5, 1.0, 0.5, 0.0, 0.0], rtol=1e-6)


def test_a_scheduled_share_moves_from_the_teacher_to_the_labels():
    student = network(2)
    hard = float(HARD(Y, student(X)))
    logs = run(Distiller(network(), student, Two(), student_loss_weight=StepSchedule([2], [0.0, 1.0])), 5)
    first_hard = next(number for number, log in enumerate(logs) if abs(log["loss"] - 2.0) > 1e-5)
    assert first_hard in (2, 3)
    np.testing.assert_allclose([log["loss"] for log in logs[:first_hard]], 2.0, rtol=1e-6)
    np.testing.assert_allclose([log["loss"] for log in logs[first_hard:]], hard, rtol=1e-5)


def test_a_scheduled_temperature_is_that_of_the_step():
    teacher, student = network(), network(2)
    loss = LogitsDistillation(temperature=Linear(4.0, 1.0, steps=3))
    logs = run(Distiller(teacher, student, loss, student_loss_weight=0.0), 4)
    for log, temperature in zip(logs, [4.0, 3.0, 2.0, 1.0], strict=True):
        p, q = (keras.ops.softmax(model(X) / temperature) for model in (teacher, student))
        expected = temperature**2 * np.mean(keras.losses.kl_divergence(p, q))
        np.testing.assert_allclose(log["distillation_loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("eager", [True, False])
def test_the_teacher_is_asked_every_so_many_steps_and_labels_rule_between(eager):
    calls = []
    network_ = network()

    def teacher(x):
        calls.append(1) if eager else tf.py_function(lambda: calls.append(1), [], [])
        return network_(x)

    student = network(2)
    hard = float(HARD(Y, student(X)))
    distiller = Distiller(teacher, student, Two(), student_loss_weight=0.25, teacher_interval=3)
    logs = run(distiller, 7, run_eagerly=eager)
    assert len(calls) == 3  # steps 0, 3 and 6
    asked = 0.25 * hard + 0.75 * 2.0
    np.testing.assert_allclose([log["loss"] for log in logs], [asked, hard, hard, asked, hard, hard, asked], rtol=1e-5)


def test_the_mean_of_the_soft_loss_is_over_the_steps_that_asked():
    distiller = Distiller(network(), network(2), Two(), teacher_interval=2)
    distiller.compile(keras.optimizers.SGD(0.0), HARD)
    history = distiller.fit(X, Y, batch_size=2, epochs=1, verbose=0).history
    np.testing.assert_allclose(history["distillation_loss"], [2.0], rtol=1e-6)


def test_skipped_steps_train_as_the_student_alone_would():
    alone, student = network(2), network(2)
    distiller = Distiller(network(), student, LogitsDistillation(), teacher_interval=1000)
    distiller.compile(keras.optimizers.SGD(0.1), HARD)
    distiller.optimizer.iterations.assign(1)
    alone.compile(keras.optimizers.SGD(0.1), HARD)
    for _ in range(3):
        distiller.train_on_batch(X, Y)
        alone.train_on_batch(X, Y)
    for one, other in zip(alone.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_wrong_interval_is_named():
    with pytest.raises(ValueError, match="`teacher_interval` must be a whole number of at least 1.*=0"):
        Distiller(network(), network(2), LogitsDistillation(), teacher_interval=0)


def test_what_adapts_is_trained_with_the_student_and_is_not_part_of_it(tmp_path):
    student = network(2)
    temperature, weight = CurriculumTemperature(steps=1), UncertaintyWeight()
    distiller = Distiller(network(), student, LogitsDistillation(temperature), [weight])
    before = [float(variable) for variable in (*temperature.trainable_weights, *weight.trainable_weights)]
    run(distiller, 5, keras.optimizers.SGD(0.1))
    after = [float(variable) for variable in (*temperature.trainable_weights, *weight.trainable_weights)]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert len(student.weights) == 2 and len(distiller.trainable_weights) == 4
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    restored = [float(variable) for variable in loaded.trainable_weights[2:]]
    np.testing.assert_allclose(sorted(restored), sorted(after), rtol=1e-6)


def test_a_fading_weight_keeps_its_state_out_of_evaluation():
    weight = FadingWeight(warm_up_steps=1)
    distiller = Distiller(network(), network(2), Two(), [weight], evaluate_distillation=True)
    run(distiller, 2)
    before = [float(variable) for variable in weight.weights]
    distiller.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(before, [float(variable) for variable in weight.weights])


def test_schedules_are_saved_with_the_distiller(tmp_path):
    distiller = Distiller(
        network(),
        network(2),
        LogitsDistillation(Linear(4.0, 1.0, steps=3)),
        [Linear(0.0, 1.0, steps=2)],
        student_loss_weight=Linear(0.0, 1.0, steps=4),
        teacher_interval=2,
    )
    run(distiller, 1)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert float(loaded.student_loss_weight(1)) == 0.25
    assert float(loaded.distillation_loss_weights[0](1)) == 0.5
    assert float(loaded.distillation_losses[0].temperature(1)) == pytest.approx(3.0)
    assert loaded.teacher_interval == 2
