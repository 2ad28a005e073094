"""RD against its formula."""

import numpy as np

from tfdistill.losses import RankingDistillation


def by_terms(scores, best, catalogue, scale=0.1):
    """-Σ_r w_r log σ(s_r) of every row, weights by hand; catalogue 0 for weights by position alone."""
    scores = np.asarray(scores, "float64")
    static = np.exp(-np.arange(1, best + 1.0))
    static /= static.sum()
    losses = []
    for row in scores:
        total = 0.0
        for r in range(best):
            weight = static[r]
            if catalogue:
                rank = np.floor(catalogue * np.mean(row[best:] > row[r]))
                weight *= max(0.0, np.tanh(scale * (rank - r)))
            total += weight * np.log1p(np.exp(-row[r]))
        losses.append(total)
    return np.array(losses)


def row_losses(scores, catalogue, best=3):
    loss = RankingDistillation(best=best, samples=scores.shape[1] - best)
    return loss.row_losses({"catalogue": np.full((len(scores), 1), catalogue, "float32")}, scores)


def test_positions_weigh_in_the_first_epochs_and_rank_discrepancies_after_them():
    scores = np.random.default_rng(0).normal(0, 2, (5, 13)).astype("float32")
    for catalogue in (0, 40):
        np.testing.assert_allclose(row_losses(scores, catalogue), by_terms(scores, 3, catalogue), rtol=1e-5)


def test_no_gradient_flows_through_weights_and_samples(gradient):
    scores = np.random.default_rng(1).normal(0, 2, (2, 9)).astype("float32")
    found = gradient(lambda point: row_losses(point, 40), scores)
    assert (found[:, 3:] == 0).all()
    slopes = -1 / (1 + np.exp(scores[:, 0]))  # of -log σ
    weights = [by_terms(row[None], 1, 40)[0] / np.log1p(np.exp(-row[0])) for row in np.delete(scores, (1, 2), axis=1)]
    static = np.exp(-1.0) / np.exp(-np.arange(1, 4.0)).sum()
    np.testing.assert_allclose(found[:, 0], static * np.array(weights) * slopes, rtol=1e-5)


def test_an_item_that_the_student_already_ranks_first_weighs_nothing():
    assert float(row_losses(np.float32([[9.0, 8.0, 7.0, 0.0, 0.0]]), 40)[0]) == 0.0
