"""HTD against sums over pairs and groups, written out."""

import itertools

import keras
import numpy as np
import pytest

from tfdistill.losses import HierarchicalTopologyDistillation

GROUPS = 3


def sample(seed=0):
    random = np.random.default_rng(seed)

    def of(width):
        return {"user": random.normal(size=(9, width)), "item": random.normal(size=(14, width))}

    weights = {"user": (random.random(9) < 0.8).astype("float32"), "item": (random.random(14) < 0.8).astype("float32")}
    as_float32 = lambda one: one.astype("float32")  # noqa: E731
    return *(keras.tree.map_structure(as_float32, one) for one in (of(5), of(2))), weights


def cosine(one, other):
    return one @ other / np.sqrt((one @ one) * (other @ other))


def relations(teacher, student, weights, groups, pairs, of_means=None):
    """The relations' part by loops, in float64; `of_means` are the student vectors that means are taken of."""
    of_means = student if of_means is None else of_means
    rows = [(entity, i) for entity in ("user", "item") for i in np.flatnonzero(weights[entity])]
    total = 0.0
    for (entity, i), (other, j) in itertools.product(rows, rows):
        if entity == other and groups[entity][i] == groups[entity][j]:
            similarity = cosine(teacher[entity][i], teacher[entity][j])
            if pairs == "all" or similarity > 0:
                total += (similarity - cosine(student[entity][i], student[entity][j])) ** 2
    for entity, group in {(entity, groups[entity][i]) for entity, i in rows}:
        members = [i for other, i in rows if other == entity and groups[entity][i] == group]
        of_teacher, of_student = (one[entity][members].mean(axis=0) for one in (teacher, of_means))
        for other, j in rows:
            total += (cosine(of_teacher, teacher[other][j]) - cosine(of_student, student[other][j])) ** 2
    return total


@pytest.fixture
def loss_of():
    def make(**settings):
        keras.utils.set_random_seed(2)
        loss = HierarchicalTopologyDistillation(GROUPS, **settings)
        loss.build({"user": (None, 5), "item": (None, 5)}, {"user": (None, 2), "item": (None, 2)})
        return loss

    return make


def groups_of(loss, teacher):
    return {
        entity: np.argmax(
            teacher[entity] @ np.asarray(loss.networks[entity].selector_kernel)
            + np.asarray(loss.networks[entity].selector_bias),
            axis=1,
        )
        for entity in teacher
    }


@pytest.mark.parametrize("pairs", ["all", "positive"])
def test_relations_are_those_of_pairs_of_a_group_and_of_all_with_the_groups_means(loss_of, pairs):
    teacher, student, weights = sample()
    loss = loss_of(gamma=1.0, pairs=pairs)
    expected = relations(teacher, student, weights, groups_of(loss, teacher), pairs)
    np.testing.assert_allclose(loss.compute_loss(teacher, student, weights), expected, rtol=1e-4)


@pytest.mark.parametrize("pairs", ["all", "positive"])
def test_no_gradient_flows_through_the_groups_means(loss_of, gradient, numerical_gradient, pairs):
    teacher, student, weights = sample()
    loss = loss_of(gamma=1.0, pairs=pairs)
    groups = groups_of(loss, teacher)

    def of_users(point):
        return relations(teacher, {**student, "user": point}, weights, groups, pairs, of_means=student)

    found = gradient(lambda point: loss.compute_loss(teacher, {**student, "user": point}, weights), student["user"])
    np.testing.assert_allclose(found, numerical_gradient(of_users, student["user"]), atol=2e-3)


def test_gamma_shares_the_loss_between_relations_and_experts(loss_of):
    teacher, student, weights = sample()
    parts = []
    for gamma in (1.0, 0.0, 0.25):
        loss = loss_of(gamma=gamma, seed=3)
        parts.append(float(loss.compute_loss(teacher, student, weights)))
    np.testing.assert_allclose(parts[2], 0.25 * parts[0] + 0.75 * parts[1], rtol=1e-4)


def test_all_of_one_group_and_batches_without_a_single_row_are_fine(loss_of):
    teacher, student, weights = sample()
    loss = loss_of()
    for network in loss.networks.values():
        network.selector_bias.assign([0.0, 100.0, 0.0])
    assert np.isfinite(loss.compute_loss(teacher, student, weights))
    nobody = keras.tree.map_structure(np.zeros_like, weights)
    assert float(loss.compute_loss(teacher, student, nobody)) == 0.0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"groups": 0}, "`experts`"),
        ({"gamma": 1.5}, "`gamma`"),
        ({"gamma": -0.1}, "`gamma`"),
        ({"pairs": "some"}, "`pairs`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalTopologyDistillation(**arguments)
