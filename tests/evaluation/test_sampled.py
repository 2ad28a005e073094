import numpy as np
import pytest

from tfdistill.data import sampled_candidates
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.evaluation import evaluate_sampled

DATA = ImplicitDataset(2, 6, {"train": [[0, 0], [1, 5]], "validation": [], "test": [[0, 1], [1, 0]]})
CANDIDATES = [[1, 2, 3], [0, 4, 4]]


def table(*rows):
    scores = np.array(rows, "float32")
    return lambda users: scores[users]


def test_the_pairs_item_is_ranked_among_the_candidates_alone():
    # User 0: item 1 is behind 3 of its candidates 2, 3 (item 5 is no candidate). User 1: item 0 is first.
    found = evaluate_sampled(table([9, 2, 1, 3, 9, 9], [5, 9, 9, 9, 1, 9]), DATA, CANDIDATES, k=(1, 2))
    assert found.metrics == pytest.approx(
        {
            "hit_rate@1 (1 + 2 sampled)": 0.5,
            "ndcg@1 (1 + 2 sampled)": 0.5,
            "hit_rate@2 (1 + 2 sampled)": 1.0,
            "ndcg@2 (1 + 2 sampled)": (1 / np.log2(3) + 1) / 2,
            "mrr (1 + 2 sampled)": 0.75,
        }
    )
    assert found["hit_rate@1"] == 0.5 and found.users.tolist() == [0, 1]
    assert found.per_pair["mrr (1 + 2 sampled)"].tolist() == [0.5, 1.0]


def test_a_tie_is_worth_the_mean_of_its_places_and_a_repeated_candidate_counts_twice():
    found = evaluate_sampled(table([0] * 6, [1, 0, 0, 0, 1, 0]), DATA, CANDIDATES, k=(1, 2))
    assert found.per_pair["hit_rate@1 (1 + 2 sampled)"] == pytest.approx([1 / 3, 1 / 3])
    assert found.per_pair["hit_rate@2 (1 + 2 sampled)"] == pytest.approx([2 / 3, 2 / 3])
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_a_scorer_of_pairs_gives_what_a_scorer_of_users_gives():
    random = np.random.default_rng(3)
    scores = random.random((20, 90))
    pairs = {"train": [[user, 0] for user in range(20)], "validation": [], "test": [[u, u + 1] for u in range(20)]}
    data = ImplicitDataset(20, 90, pairs)
    candidates = sampled_candidates(data, count=30, seed=1)
    by_user = evaluate_sampled(lambda users: scores[users], data, candidates, batch_size=3)
    by_pair = evaluate_sampled(lambda users, items: scores[users, items][:, None], data, candidates, of_pairs=True)
    assert by_pair.metrics == by_user.metrics
    places = [1 + sum(scores[user, row[1:]] > scores[user, row[0]]) for user, row in enumerate(candidates)]
    assert by_user["hit_rate@5"] == pytest.approx(np.mean([place <= 5 for place in places]))
    assert by_user["ndcg@10"] == pytest.approx(np.mean([(place <= 10) / np.log2(place + 1) for place in places]))


def test_wrong_candidates_are_refused():
    score = table([0] * 6, [0] * 6)
    with pytest.raises(ValueError, match=r"whole numbers \[2, 1 \+ n\], a row for each pair of the test part"):
        evaluate_sampled(score, DATA, [[1, 2, 3]])
    with pytest.raises(ValueError, match=r"Received: item 2 for the pair \(0, 1\)"):
        evaluate_sampled(score, DATA, [[2, 1, 3], [0, 4, 4]], k=1)
    with pytest.raises(ValueError, match="must hold items from 0 to 5. Received: 0 to 6"):
        evaluate_sampled(score, DATA, [[1, 2, 6], [0, 4, 4]], k=1)
    with pytest.raises(ValueError, match="`k` must be at most the number of candidates, 3. Received: k=5"):
        evaluate_sampled(score, DATA, CANDIDATES, k=5)
    with pytest.raises(
        UserError, match="2 of the sampled items are items that their user chose, such as item 0 of user 0"
    ):
        evaluate_sampled(score, DATA, [[1, 2, 0], [0, 4, 5]], k=1)
    with pytest.raises(UserError, match="the validation part has no pairs"):
        evaluate_sampled(score, DATA, CANDIDATES, k=1, part="validation")
    with pytest.raises(ValueError, match="one number a pair, 6. Received: 5"):
        evaluate_sampled(lambda users, items: np.zeros(5), DATA, CANDIDATES, k=1, of_pairs=True)
    with pytest.raises(UserError, match="nan for pair 1 and candidate 0"):
        evaluate_sampled(table([0] * 6, [np.nan] + [0] * 5), DATA, CANDIDATES, k=1)
