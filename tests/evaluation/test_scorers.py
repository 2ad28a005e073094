import numpy as np
import pytest

from tfdistill.evaluation import dot_scores, pair_scores


def test_vectors_score_by_their_inner_product_in_float32():
    random = np.random.default_rng(1)
    users, items = random.normal(size=(7, 4)), random.normal(size=(9, 4))
    score = dot_scores(users, items)
    assert score([5, 0]).dtype == np.float32
    np.testing.assert_allclose(score([5, 0]), (users @ items.T)[[5, 0]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(score.swapped()([3]), (items @ users.T)[[3]], rtol=1e-5, atol=1e-6)


def test_swapped_vectors_keep_the_fingerprint_and_other_vectors_have_another():
    score = dot_scores(np.ones((3, 2)), np.zeros((3, 2)))
    assert score.swapped().fingerprint() == score.fingerprint() == score.swapped().swapped().fingerprint()
    assert dot_scores(np.zeros((3, 2)), np.ones((3, 2))).fingerprint() != score.fingerprint()


@pytest.mark.parametrize("pairs_at_a_time", [1, 4, 1000])
def test_a_model_of_pairs_scores_every_item(pairs_at_a_time):
    calls = []

    def predict(users, items):
        calls.append(len(users))
        return (100 * users + items)[:, None]

    score = pair_scores(predict, items=3, pairs_at_a_time=pairs_at_a_time)
    assert score([2, 7]).tolist() == [[200, 201, 202], [700, 701, 702]]
    assert max(calls) <= pairs_at_a_time


def test_wrong_vectors_and_unknown_users_are_refused():
    with pytest.raises(ValueError, match=r"of one width d. Received shapes: \(3, 2\) and \(4, 5\)"):
        dot_scores(np.ones((3, 2)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="`user_vectors` has 3 rows. Asked for: user 3"):
        dot_scores(np.ones((3, 2)), np.ones((4, 2)))([0, 3])
