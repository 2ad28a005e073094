import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tfdistill.evaluation import ndcg_at_k


def by_scikit_learn(label, score, user, k):
    """The mean of scikit-learn's value user by user, over users with both classes."""
    values = []
    for one in np.unique(user):
        rows = user == one
        if 0 < label[rows].sum() < rows.sum():
            values.append(ndcg_score([label[rows]], [score[rows]], k=k))
    return np.mean(values)


@pytest.mark.parametrize("steps", [None, 256, 5, 1])
@pytest.mark.parametrize("k", [1, 3, 10, 100])
def test_it_equals_scikit_learn_with_and_without_ties(steps, k):
    random = np.random.default_rng(k)
    user = random.integers(0, 80, 1200)
    score = random.random(1200)
    if steps:
        score = np.round(score * steps) / steps
    label = (random.random(1200) < 0.2 + 0.5 * score).astype(np.float32)
    assert ndcg_at_k(label, score, user, k) == pytest.approx(by_scikit_learn(label, score, user, k), abs=1e-12)


def test_a_list_worked_by_hand():
    # Ranks 1 to 3 hold 0, 1, 1; the best order holds 1, 1, 0.
    found = ndcg_at_k([1, 0, 1], [0.5, 0.9, 0.1], user=[4, 4, 4], k=3)
    assert found == pytest.approx((1 / np.log2(3) + 1 / 2) / (1 + 1 / np.log2(3)))


def test_positives_behind_the_kth_place_count_nothing():
    assert ndcg_at_k([0, 1], [0.9, 0.1], user=[4, 4], k=1) == 0.0


def test_a_tie_is_worth_the_mean_of_its_places():
    assert ndcg_at_k([1, 0], [0.5, 0.5], user=[4, 4], k=10) == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert ndcg_at_k([1, 0], [0.5, 0.5], user=[4, 4], k=1) == 0.5


def test_the_order_of_the_rows_does_not_matter_even_with_ties():
    random = np.random.default_rng(0)
    user, score = random.integers(0, 20, 400), random.integers(0, 4, 400) / 4
    label = random.integers(0, 2, 400)
    order = random.permutation(400)
    assert ndcg_at_k(label[order], score[order], user[order]) == pytest.approx(ndcg_at_k(label, score, user), abs=1e-12)


def test_users_with_one_class_only_are_left_out():
    alone = ndcg_at_k([1, 0], [0.2, 0.9], user=[1, 1])
    assert ndcg_at_k([1, 0, 1, 1, 0], [0.2, 0.9, 0.3, 0.4, 0.5], user=[1, 1, 2, 2, 3]) == alone


def test_without_any_user_of_both_classes_there_is_no_value():
    assert ndcg_at_k([1, 0], [0.2, 0.9], user=[1, 2]) is None
    assert ndcg_at_k([], [], user=[]) is None


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="k: expected at least 1, received 0"):
        ndcg_at_k([1, 0], [0.2, 0.9], user=[1, 1], k=0)
    with pytest.raises(ValueError, match="expected the same shape"):
        ndcg_at_k([1, 0], [0.2, 0.9], user=[1])
