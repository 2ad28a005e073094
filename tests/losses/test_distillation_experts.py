"""DE, and the experts of DE and HTD, against loops over rows and experts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import DistillationExperts
from tfdistill.losses.experts import Experts
from tfdistill.losses.representation_loss import TorchUniform

ROWS, EXPERTS = 150, 6


@pytest.fixture
def experts():
    keras.utils.set_random_seed(0)
    made = Experts(EXPERTS, teacher_width=8, student_width=3, name="experts")
    made.build()
    return made


def rebuilt(experts, student, shares):
    """Σ_m z_m E_m(s), a row and an expert at a time."""
    weights = [
        np.asarray(one, "float64") for one in (experts.kernel, experts.bias, experts.output_kernel, experts.output_bias)
    ]
    result = np.zeros((len(student), experts.widths[-1]))
    for i, row in enumerate(student):
        for kernel, bias, output_kernel, output_bias, share in zip(*weights, shares[i], strict=True):
            result[i] += share * (np.maximum(row @ kernel + bias, 0) @ output_kernel + output_bias)
    return result


def sample(temperature, seed=0):
    random = np.random.default_rng(seed)
    student = random.normal(size=(ROWS, 3)).astype("float32")
    logits = random.gumbel(size=(ROWS, EXPERTS)) / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return student, (shares / shares.sum(axis=1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("temperature, tolerance", [(1.0, 1e-5), (0.1, 0.02), (1e-3, 0.02), (1e-8, 1e-5)])
def test_the_mixture_is_that_of_all_experts_at_every_temperature(experts, temperature, tolerance):
    student, shares = sample(temperature)
    found = experts.mix(tf.constant(student), tf.constant(shares), tf.constant(temperature))
    errors = np.linalg.norm(found - rebuilt(experts, student, shares), axis=1)
    # Few experts stand for all where the temperature is low: a row in a hundred may then be off.
    assert np.quantile(errors, 0.97) < tolerance


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_the_best_experts_alone_give_value_and_gradients_of_all_where_the_others_have_no_share(
    experts, count, compiled
):
    student, shares = sample(0.5)
    shares *= shares >= np.sort(shares, axis=1)[:, [-count]]
    student, shares = tf.constant(student), tf.constant(shares)

    def value_and_gradients(function, *arguments):
        with tf.GradientTape() as tape:
            tape.watch([student, shares])
            value = tf.reduce_sum(function(student, shares, *arguments) ** 2)
        return value, [
            tf.convert_to_tensor(one) for one in tape.gradient(value, [student, experts.kernel, experts.output_bias])
        ]

    expected = value_and_gradients(experts._all)
    found = tf.function(lambda: value_and_gradients(experts._best, count), jit_compile=compiled)()
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_loss_is_the_squared_error_of_users_and_half_that_of_items(experts, monkeypatch):
    monkeypatch.setattr(keras.random, "uniform", lambda shape, seed: tf.fill(shape, 0.5))
    random = np.random.default_rng(3)
    teacher = {
        "user": random.normal(size=(4, 8)).astype("float32"),
        "item": random.normal(size=(6, 8)).astype("float32"),
    }
    student = {
        "user": random.normal(size=(4, 3)).astype("float32"),
        "item": random.normal(size=(6, 3)).astype("float32"),
    }
    weights = {"user": np.float32([1, 1, 0, 1]), "item": np.float32([1, 0, 1, 1, 1, 0])}
    loss = DistillationExperts(EXPERTS)
    loss.build({"user": (None, 8), "item": (None, 8)}, {"user": (None, 3), "item": (None, 3)})
    expected = 0.0
    for entity, share in (("user", 1.0), ("item", 0.5)):
        network = loss.networks[entity]
        # The same noise for every expert leaves the softmax of the selector.
        logits = teacher[entity] @ np.asarray(network.selector_kernel) + np.asarray(network.selector_bias)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        errors = np.sum((teacher[entity] - rebuilt(network, student[entity], shares)) ** 2, axis=1)
        expected += share * np.sum(weights[entity] * errors)
    np.testing.assert_allclose(loss.compute_loss(teacher, student, weights), expected, rtol=1e-4)


def test_the_temperature_falls_geometrically_from_the_second_epoch_on():
    loss = DistillationExperts(2)
    found = []
    for epoch in (0, 1, 2, 51, 101):
        loss.begin_epoch(epoch, 101)
        found.append(float(loss.current_temperature))
    np.testing.assert_allclose(found, [1, 1, 10**-0.1, 10**-5, 1e-10], rtol=1e-4)
    slow = DistillationExperts(2, annealing_epochs=1000)
    slow.begin_epoch(101, 300)
    np.testing.assert_allclose(float(slow.current_temperature), 0.1, rtol=1e-4)


def test_selectors_choose_by_the_teacher_with_gumbel_noise():
    keras.utils.set_random_seed(1)
    experts = Experts(3, teacher_width=2, student_width=1, name="experts")
    experts.build()
    probabilities = np.array([0.6, 0.3, 0.1])
    experts.selector_kernel.assign(np.zeros((2, 3)))
    experts.selector_bias.assign(np.log(probabilities))
    # Each expert rebuilds its own number whatever the student, so that the output tells who was chosen.
    experts.output_kernel.assign(np.zeros(experts.output_kernel.shape))
    experts.output_bias.assign([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    rows = 4000
    seeds = keras.random.SeedGenerator(0)
    chosen = experts(tf.zeros((rows, 1)), tf.zeros((rows, 2)), tf.constant(1e-6), seed_generator=seeds)
    shares = np.bincount(np.round(chosen[:, 0]).astype(int), minlength=4)[1:] / rows
    np.testing.assert_allclose(shares, probabilities, atol=4 * np.sqrt(0.25 / rows))


def test_experts_begin_as_linear_layers_of_the_authors_do_and_a_wide_student_has_narrow_ones():
    values = np.asarray(TorchUniform(16, seed=0)((5000,)))
    assert np.abs(values).max() <= 0.25
    np.testing.assert_allclose(values.std(), 0.5 / np.sqrt(12), rtol=0.05)
    assert Experts(2, 200, 20, name="experts").widths == (20, 110, 200)
    assert Experts(2, 200, 200, name="experts").widths == (200, 100, 200)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"experts": 0}, "`experts`"),
        ({"temperature": 0.0}, "`temperature`"),
        ({"final_temperature": -1.0}, "`final_temperature`"),
        ({"annealing_epochs": 0}, "`annealing_epochs`"),
        ({"item_weight": -0.5}, "`item_weight`"),
        ({"reduction": "none"}, "`reduction`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DistillationExperts(**arguments)
