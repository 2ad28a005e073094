"""The temperature that is learned against the student (CTKD)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import softened_kl_divergence
from tfdistill.schedules import CurriculumTemperature

TEACHER = np.array([[3.0, 0.0, -1.0], [0.0, 1.0, 0.5]], "float32")
STUDENT = np.array([[1.0, 0.5, 0.0], [0.5, 0.0, 0.0]], "float32")


def gradient_at(temperature, step):
    with tf.GradientTape() as tape:
        value = temperature.temperature(step)
    return float(tape.gradient(value, temperature.theta.value))


def test_it_starts_where_the_papers_code_does():
    # 1 + 20 / (1 + exp(-1))
    np.testing.assert_allclose(CurriculumTemperature(10).temperature(0), 15.621172, rtol=1e-6)


def test_the_value_does_not_depend_on_the_step():
    temperature = CurriculumTemperature(10, initial=0.7)
    assert len({float(temperature.temperature(step)) for step in range(15)}) == 1


def test_the_gradient_is_reversed_along_a_cosine():
    # dT/dθ = 20 σ(0) (1 - σ(0)) = 5; λ = -(1 - cos(π step/30))/2.
    temperature = CurriculumTemperature(30, initial=0.0)
    gradients = [gradient_at(temperature, step) for step in (0, 10, 15, 20, 30, 100)]
    np.testing.assert_allclose(gradients, [0.0, -1.25, -2.5, -3.75, -5.0, -5.0], atol=1e-5)


def test_the_optimizer_raises_the_loss_by_the_temperature():
    temperature = CurriculumTemperature(1, initial=0.0)
    optimizer = keras.optimizers.SGD(0.05)

    def loss():
        return tf.reduce_mean(softened_kl_divergence(TEACHER, STUDENT, temperature.temperature(1)))

    before = float(loss())
    for _ in range(3):
        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply(tape.gradient(value, temperature.trainable_variables), temperature.trainable_variables)
    assert float(loss()) > before


def test_the_gradient_is_that_of_finite_differences_times_the_factor():
    def loss_of(theta):
        temperature = 1.0 + 20.0 / (1.0 + np.exp(-theta))
        p, q = (np.exp(z / temperature) for z in (TEACHER.astype("float64"), STUDENT.astype("float64")))
        p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
        return temperature**2 * (p * np.log(p / q)).sum(-1).mean()

    temperature = CurriculumTemperature(1, initial=-2.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(softened_kl_divergence(TEACHER, STUDENT, temperature.temperature(5)))
    slope = (loss_of(-2.0 + 1e-4) - loss_of(-2.0 - 1e-4)) / 2e-4
    np.testing.assert_allclose(tape.gradient(loss, temperature.theta.value), -slope, rtol=1e-3)


def test_it_stays_finite_for_any_theta():
    for theta, expected in ((-500.0, 1.0), (500.0, 21.0)):
        temperature = CurriculumTemperature(1, initial=theta)
        assert float(temperature.temperature(1)) == expected
        assert gradient_at(temperature, 1) == 0.0


def test_theta_is_the_one_trainable_weight_and_can_be_frozen():
    temperature = CurriculumTemperature(10)
    assert [weight.name for weight in temperature.trainable_weights] == ["theta"]
    frozen = CurriculumTemperature(10, trainable=False)
    assert frozen.trainable_weights == []
    assert CurriculumTemperature.from_config(frozen.get_config()).trainable_weights == []


def test_a_layer_that_holds_it_trains_and_saves_it(tmp_path):
    def model():
        inputs = keras.Input((2,))
        made = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        made.temperature = CurriculumTemperature(10)
        return made

    trained, fresh = model(), model()
    trained.temperature.theta.assign(2.5)
    assert len(trained.trainable_weights) == 3
    trained.save_weights(tmp_path / "it.weights.h5")
    fresh.load_weights(tmp_path / "it.weights.h5")
    assert float(fresh.temperature.theta.value) == 2.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 0}, "`steps` must be a positive number. Received: steps=0"),
        ({"steps": 1, "initial": "x"}, "`initial` must be a finite number"),
        ({"steps": 1, "lowest": 0}, "`lowest` must be a positive number"),
        ({"steps": 1, "span": -2}, "`span` must be a positive number"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CurriculumTemperature(**arguments)


def test_without_a_step_it_says_who_passes_it():
    with pytest.raises(ValueError, match="CurriculumTemperature needs the number of the training step"):
        CurriculumTemperature(10).resolve(None, TEACHER, STUDENT)
