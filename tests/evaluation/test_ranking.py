import itertools
import json

import ml_dtypes
import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.evaluation import dot_scores, evaluate_ranking


def make_dataset(users, items, seed, chosen=6):
    """A dataset in which a third of the users have nothing in the test part."""
    random = np.random.default_rng(seed)
    pairs = {"train": [], "validation": [], "test": []}
    for user in range(users):
        parts = ["train"] * 2 + ["validation", "test", "test", "train"] if user % 3 else ["train"] * 3 + ["validation"]
        for part, item in zip(parts, random.choice(items, chosen, replace=False), strict=False):
            pairs[part].append((user, item))
    return ImplicitDataset(users, items, pairs)


def lists_of(dataset, scores, part, exclude):
    """Every user with relevant items: (user, candidates, their scores, set of relevant items), by plain loops."""
    for user in range(dataset.users):
        relevant = {int(item) for other, item in dataset.pairs[part] if other == user}
        left_out = {int(item) for name in exclude for other, item in dataset.pairs[name] if other == user}
        if relevant:
            candidates = [item for item in range(dataset.items) if item not in left_out]
            yield user, candidates, [scores[user][item] for item in candidates], relevant


def metrics_of_order(order, relevant, k):
    """The definitions, word for word, of one list in one order."""
    hits = [item in relevant for item in order]
    first = next(place for place, hit in enumerate(hits, 1) if hit)
    top, best = hits[:k], min(k, len(relevant))
    return {
        f"recall@{k}": sum(top) / len(relevant),
        f"precision@{k}": sum(top) / k,
        f"hit_rate@{k}": float(any(top)),
        f"ndcg@{k}": sum(1 / np.log2(place + 1) for place, hit in enumerate(top, 1) if hit)
        / sum(1 / np.log2(place + 1) for place in range(1, best + 1)),
        f"map@{k}": sum(sum(top[:place]) / place for place, hit in enumerate(top, 1) if hit) / best,
        "mrr": 1 / first,
    }


def best_first(candidates, scores):
    return [item for _, item in sorted(zip((-score for score in scores), candidates, strict=True))]


@pytest.mark.parametrize("exclude", [("train", "validation"), ("train",), ()])
@pytest.mark.parametrize("items, k", [(12, (1, 3, 12)), (900, (1, 5, 20))])
def test_without_ties_it_equals_the_definitions_user_by_user(items, k, exclude):
    dataset = make_dataset(30, items, seed=1)
    scores = np.random.default_rng(2).permutation(30 * items).reshape(30, items).astype("float32")
    found = evaluate_ranking(lambda users: scores[users], dataset, exclude=exclude, k=k, batch_size=7)
    place = 0
    for user, candidates, values, relevant in lists_of(dataset, scores, "test", exclude):
        assert found.users[place] == user
        for length in k:
            for name, value in metrics_of_order(best_first(candidates, values), relevant, length).items():
                assert found.per_user[name][place] == pytest.approx(value, abs=1e-12), (user, name)
        place += 1
    assert place == len(found.users) == 20
    for name, values in found.per_user.items():
        assert found[name] == pytest.approx(values.mean())


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ties_give_the_mean_over_all_orders_of_the_tied(levels):
    items = 6
    dataset = make_dataset(9, items + 2, seed=levels, chosen=4)
    scores = np.random.default_rng(levels).integers(0, levels, (9, items + 2)).astype("float32")
    found = evaluate_ranking(lambda users: scores[users], dataset, part="validation", exclude=("train",), k=(1, 2, 4))
    for place, (user, candidates, values, relevant) in enumerate(lists_of(dataset, scores, "validation", ("train",))):
        orders = [
            [item for _, _, item in sorted(zip((-value for value in values), luck, candidates, strict=True))]
            for luck in itertools.permutations(range(len(candidates)))
        ]
        for length in (1, 2, 4):
            every = [metrics_of_order(order, relevant, length) for order in orders]
            for name in every[0]:
                expected = np.mean([one[name] for one in every])
                assert found.per_user[name][place] == pytest.approx(expected, abs=1e-10), (user, name)


def test_ties_among_several_relevant_items_give_the_mean_over_all_orders():
    # Items 0 to 5, of which the user has 1, 3 and 4 in the test; 1, 2, 3, 4 are tied behind item 0.
    dataset = ImplicitDataset(1, 7, {"train": [[0, 6]], "validation": [], "test": [[0, 1], [0, 3], [0, 4]]})
    scores = np.array([[9, 5, 5, 5, 5, 1, 8]], "float32")
    found = evaluate_ranking(lambda users: scores[users], dataset, k=(1, 2, 3, 4, 6))
    orders = [[0, *tied, 5] for tied in itertools.permutations([1, 2, 3, 4])]
    for k in (1, 2, 3, 4, 6):
        every = [metrics_of_order(order, {1, 3, 4}, k) for order in orders]
        for name in every[0]:
            assert found[name] == pytest.approx(np.mean([one[name] for one in every]), abs=1e-12), name


@pytest.mark.parametrize("steps", [None, 40, 3])
def test_ndcg_equals_scikit_learn_with_and_without_ties(steps):
    dataset, random = make_dataset(40, 700, seed=4), np.random.default_rng(5)
    scores = random.random((40, 700))
    if steps:
        scores = np.round(scores * steps) / steps
    found = evaluate_ranking(lambda users: scores[users], dataset, k=(1, 10, 50))
    for place, (_, candidates, values, relevant) in enumerate(
        lists_of(dataset, scores, "test", ("train", "validation"))
    ):
        truth = [[item in relevant for item in candidates]]
        for k in (1, 10, 50):
            assert found.per_user[f"ndcg@{k}"][place] == pytest.approx(ndcg_score(truth, [values], k=k), abs=1e-9)


def test_a_model_that_scores_all_items_alike_gets_what_chance_gives():
    # 10 items, 2 of them trained on: of 8 places each of the 2 test items is first in 1 of 8 orders.
    pairs = {"train": [[0, 0], [0, 1]], "validation": [], "test": [[0, 2], [0, 3]]}
    dataset = ImplicitDataset(1, 10, pairs)
    found = evaluate_ranking(lambda users: np.zeros((len(users), 10)), dataset, k=(1, 4))
    assert found["recall@1"] == pytest.approx(1 / 8)
    assert found["hit_rate@1"] == pytest.approx(2 / 8)
    assert found["recall@4"] == pytest.approx(4 / 8)
    assert found["hit_rate@4"] == pytest.approx(1 - (4 * 3) / (8 * 7))
    assert found["coverage@1"] == pytest.approx(8 * (1 / 8) / 10)


def test_the_batch_size_and_the_order_of_the_items_change_nothing(monkeypatch):
    dataset, random = make_dataset(25, 60, seed=6), np.random.default_rng(7)
    scores = random.integers(0, 8, (25, 60)).astype("float32")
    whole = evaluate_ranking(lambda users: scores[users], dataset, k=(3, 10))
    order = random.permutation(60)
    place = np.argsort(order)
    moved = ImplicitDataset(
        25, 60, {part: np.stack([pairs[:, 0], place[pairs[:, 1]]], 1) for part, pairs in dataset.pairs.items()}
    )
    for other in (
        evaluate_ranking(lambda users: scores[users], dataset, k=(3, 10), batch_size=1),
        evaluate_ranking(lambda users: scores[:, order][users], moved, k=(3, 10)),
    ):
        assert other.metrics == pytest.approx(whole.metrics, abs=1e-12)
    monkeypatch.setattr("tfdistill._scores.RANKED_AT_A_TIME", 3 * 60)
    assert evaluate_ranking(lambda users: scores[users], dataset, k=(3, 10)).metrics == pytest.approx(whole.metrics)


def test_coverage_novelty_and_popularity_groups_worked_by_hand():
    # Training pairs by item: 4, 2, 1, 1, 0 of 8; 4 users. Groups of half the mass: {0}, {1, 2, 3}, and unseen {4}.
    train = [[0, 0], [1, 0], [2, 0], [3, 0], [0, 1], [1, 1], [2, 2], [3, 3]]
    dataset = ImplicitDataset(4, 5, {"train": train, "validation": [], "test": [[0, 2], [1, 4], [1, 2], [2, 1]]})
    scores = np.array([[0, 0, 3, 2, 1], [0, 0, 1, 3, 2], [0, 3, 0, 2, 1], [0, 0, 0, 0, 0]], "float32")
    found = evaluate_ranking(lambda users: scores[users], dataset, k=2, groups=2)
    # Lists: user 0: 2, 3; user 1: 3, 4; user 2: 1, 3. Bits: item 1 one, items 2 and 3 two, item 4 (taken for one pair) two.
    assert found.per_user["novelty@2"].tolist() == [2.0, 2.0, 1.5]
    assert found["coverage@2"] == pytest.approx(4 / 5)
    assert found.counts == {
        "users": 3,
        "users_left_out": 1,
        "items": 5,
        "items_unseen_in_training": 1,
        "relevant": 4,
        "relevant_unseen_in_training": 1,
    }
    popular, rare, unseen = found.popularity_groups
    assert (popular["items"], popular["training_share"], popular["users"], popular["recall@2"]) == (1, 0.5, 0, None)
    assert (rare["items"], rare["relevant"], rare["users"]) == (3, 3, 3)
    assert rare["recall@2"] == pytest.approx((1 + 0 + 1) / 3)
    assert (unseen["items"], unseen["training_share"], unseen["recall@2"]) == (1, 0.0, 1.0)
    assert json.loads(json.dumps(found.to_dict()))["counts"] == found.counts
    assert [group["share@2"] for group in found.popularity_groups] == pytest.approx([0, 5 / 6, 1 / 6])


def test_a_tie_at_the_last_place_covers_each_of_the_tied_by_its_chance():
    dataset = ImplicitDataset(2, 4, {"train": [[0, 3], [1, 3]], "validation": [], "test": [[0, 0], [1, 0]]})
    scores = np.array([[5, 1, 1, 0], [5, 1, 1, 0]], "float32")
    found = evaluate_ranking(lambda users: scores[users], dataset, k=2)
    assert found["coverage@2"] == pytest.approx((1 + 3 / 4 + 3 / 4) / 4)


def test_the_callers_scores_stay_as_they_are():
    dataset = make_dataset(6, 20, seed=1)
    scores = np.random.default_rng(1).random((6, 20))
    before = scores.copy()
    evaluate_ranking(lambda users: scores[users[0] : users[-1] + 1], dataset, part="validation", exclude="train", k=3)
    assert (scores == before).all()


def test_scores_in_double_precision_are_compared_as_such():
    dataset = ImplicitDataset(1, 3, {"train": [[0, 2]], "validation": [], "test": [[0, 1]]})
    found = evaluate_ranking(lambda users: np.array([[1.0, 1.0 + 1e-12, 0.0]]), dataset, k=1)
    assert found["recall@1"] == 1.0


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool", "float16", ml_dtypes.bfloat16])
def test_scores_may_be_of_any_kind_of_number(dtype):
    dataset = make_dataset(12, 20, seed=1)
    scores = np.random.default_rng(1).integers(0, 2, (12, 20))
    expected = evaluate_ranking(lambda users: scores[users].astype("float32"), dataset, k=3).metrics
    assert evaluate_ranking(lambda users: scores[users].astype(dtype), dataset, k=3).metrics == expected


def test_a_user_with_fewer_items_left_than_k_has_a_shorter_list():
    dataset = ImplicitDataset(1, 4, {"train": [[0, 0], [0, 1]], "validation": [], "test": [[0, 2]]})
    found = evaluate_ranking(lambda users: np.array([[9.0, 8.0, 1.0, 2.0]]), dataset, k=4)
    assert (found["recall@4"], found["precision@4"], found["mrr"], found["coverage@4"]) == (1.0, 0.25, 0.5, 0.5)


def test_progress_tells_how_many_users_are_done():
    seen, dataset = [], make_dataset(12, 20, seed=1)
    scores = np.random.default_rng(1).random((12, 20))
    evaluate_ranking(
        lambda users: scores[users], dataset, k=3, batch_size=3, progress=lambda *counts: seen.append(counts)
    )
    assert seen == [(3, 8), (6, 8), (8, 8)]


def test_inner_products_score_every_item():
    random = np.random.default_rng(3)
    users, items = random.normal(size=(12, 5)), random.normal(size=(20, 5))
    dataset = make_dataset(12, 20, seed=1)
    scores = users @ items.T
    found = evaluate_ranking(dot_scores(users, items), dataset, k=(1, 5))
    assert found.metrics == pytest.approx(evaluate_ranking(lambda u: scores[u], dataset, k=(1, 5)).metrics, abs=1e-12)


def test_wrong_arguments_are_refused():
    dataset = make_dataset(6, 20, seed=1)

    def zeros(users):
        return np.zeros((len(users), 20))

    with pytest.raises(ValueError, match="`k` must be at most the number of items, 20. Received: k=21"):
        evaluate_ranking(zeros, dataset, k=(5, 21))
    with pytest.raises(ValueError, match="`k` must be at least 1. Received: k=0"):
        evaluate_ranking(zeros, dataset, k=0)
    with pytest.raises(ValueError, match="`k` must be a whole number"):
        evaluate_ranking(zeros, dataset, k=2.5)
    with pytest.raises(ValueError, match="`exclude` must name parts of train, validation, test"):
        evaluate_ranking(zeros, dataset, k=5, exclude=("training",))
    with pytest.raises(ValueError, match="`exclude` must not hold the evaluated part 'test'"):
        evaluate_ranking(zeros, dataset, k=5, exclude=("train", "test"))
    with pytest.raises(ValueError, match=r"shape \(4, 20\). Received: \(4, 19\)"):
        evaluate_ranking(lambda users: np.zeros((len(users), 19)), dataset, k=5)
    with pytest.raises(ValueError, match="must return numbers. Received: <U1"):
        evaluate_ranking(lambda users: np.full((len(users), 20), "a"), dataset, k=5)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
        evaluate_ranking(zeros, dataset, k=5, batch_size=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    dataset = make_dataset(6, 20, seed=1)

    def score(users):
        scores = np.zeros((len(users), 20), "float32")
        scores[1, 7] = bad
        return scores

    with pytest.raises(UserError, match="a score is NaN or infinite: .* for user 2 and item 7"):
        evaluate_ranking(score, dataset, k=5)


def test_a_part_without_pairs_is_refused():
    dataset = ImplicitDataset(2, 3, {"train": [[0, 0]], "validation": [], "test": []}, source="clicks.csv")
    with pytest.raises(UserError, match="clicks.csv: no user has an item in the test part"):
        evaluate_ranking(lambda users: np.zeros((len(users), 3)), dataset, k=1)
