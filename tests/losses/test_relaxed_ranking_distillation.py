"""RRD against its formula, term by term."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.losses import RankingContext, RelaxedRankingDistillation, relaxed_ranking


def by_terms(scores, ordered):
    """-Σ_k [s_k - log(Σ_{j>=k} e^{s_j} + Σ_l e^{s_l})] of every row, in float64."""
    scores = np.asarray(scores, "float64")
    return np.array([sum(logsumexp(row[k:]) - row[k] for k in range(ordered)) for row in scores])


@pytest.mark.parametrize("others", [0, 1, 4])
@pytest.mark.parametrize("ordered", [1, 2, 5])
def test_the_loss_is_the_sum_of_its_terms_and_so_is_the_gradient(ordered, others, gradient, numerical_gradient):
    scores = np.random.default_rng(0).normal(0, 2, (3, ordered + others)).astype("float32")

    def ours(point):
        return relaxed_ranking(point[:, :ordered], point[:, ordered:])

    np.testing.assert_allclose(ours(scores), by_terms(scores, ordered), rtol=1e-5, atol=1e-6)
    expected = numerical_gradient(lambda point: by_terms(point, ordered), scores)
    np.testing.assert_allclose(gradient(ours, scores), expected, atol=1e-4)


def test_equal_scores_have_the_gradient_of_the_formula(gradient):
    # With K = 3 and L = 1 at equal scores the shares are 1/4, 1/3 and 1/2 in the three terms.
    found = gradient(lambda point: relaxed_ranking(point[:, :3], point[:, 3:]), np.zeros((1, 4)))
    np.testing.assert_allclose(
        found, [[1 / 4 - 1, 1 / 4 + 1 / 3 - 1, 1 / 4 + 1 / 3 + 1 / 2 - 1, 1 / 4 + 1 / 3 + 1 / 2]], atol=1e-6
    )


def test_scores_that_overflow_an_exponential_do_no_harm(gradient):
    scores = np.float32([[500.0, -500.0, 200.0, 0.0]])
    np.testing.assert_allclose(relaxed_ranking(scores[:, :2], scores[:, 2:]), by_terms(scores, 2), rtol=1e-6)
    assert np.isfinite(gradient(lambda point: relaxed_ranking(point[:, :2], point[:, 2:]), scores)).all()


@pytest.mark.parametrize("ordered", [13, 40])
def test_long_lists_compile_with_xla_for_batches_of_unknown_size(ordered):
    scores = np.random.default_rng(0).normal(0, 2, (3, ordered + 4)).astype("float32")

    def value_and_gradient(scores):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = relaxed_ranking(scores[:, :ordered], scores[:, ordered:])
        return value, tape.gradient(value, scores)

    signature = [tf.TensorSpec([None, ordered + 4])]
    value, gradient = tf.function(value_and_gradient, signature, jit_compile=True)(scores)
    np.testing.assert_allclose(value, by_terms(scores, ordered), rtol=1e-5)
    np.testing.assert_allclose(gradient, value_and_gradient(tf.constant(scores))[1], atol=1e-5)


@pytest.fixture
def context():
    users, items, k = 400, 60, 20
    dataset = ImplicitDataset(
        users, items, {"train": [[user, 59] for user in range(users)], "validation": [], "test": []}
    )
    ranking = np.tile(np.arange(k, dtype="int32")[::-1], (users, 1))  # item 19 is best
    return RankingContext(dataset, SimpleNamespace(items=ranking, scores=-np.arange(k, dtype="float32") + 0 * ranking))


def test_interesting_items_keep_the_teachers_order_and_the_others_are_outside_its_pool(context):
    drawn = RelaxedRankingDistillation(5, 6, pool=20).draw(context, np.random.default_rng(0))["item"]
    assert (np.diff(drawn[:, :5], axis=1) < 0).all()
    assert drawn[:, :5].max() < 20
    assert drawn[:, 5:].min() >= 20
    assert drawn[:, 5:].max() < 59


def test_items_are_drawn_by_exp_of_their_rank(context):
    drawn = RelaxedRankingDistillation(1, 1, rank_temperature=4.0, pool=20).draw(context, np.random.default_rng(0))[
        "item"
    ]
    weights = np.exp(-np.arange(1, 21) / 4.0)
    expected = len(drawn) * weights / weights.sum()
    found = np.bincount(19 - drawn[:, 0], minlength=20)
    assert (np.abs(found - expected) < 4.5 * np.sqrt(expected) + 1).all()


def test_without_a_temperature_the_teachers_top_is_taken(context):
    drawn = RelaxedRankingDistillation(3, 1, rank_temperature=None, pool=20).draw(context, np.random.default_rng(0))[
        "item"
    ]
    np.testing.assert_array_equal(drawn[:, :3], np.tile([19, 18, 17], (len(drawn), 1)))


def test_more_others_than_there_are_is_refused(context):
    with pytest.raises(ValueError, match="39 candidates left"):
        RelaxedRankingDistillation(3, 40, pool=20).draw(context, np.random.default_rng(0))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"interesting": 0}, "`interesting`"),
        ({"uninteresting": -1}, "`uninteresting`"),
        ({"rank_temperature": 0}, "`rank_temperature`"),
        ({"pool": 39}, "`pool`"),
        ({"side": "both"}, "`side`"),
        ({"rows": "none"}, "`rows`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelaxedRankingDistillation(**arguments)
