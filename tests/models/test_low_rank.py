"""The truncated SVD of a teacher's scores, against scikit-learn's and numpy's of the whole matrix."""

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD

from tests.models.small_models import ITEM_FIELDS, USER_FIELDS
from tfdistill.models import bpr_mf, start_from_teacher, truncated_svd, two_tower
from tfdistill.models.low_rank import set_vectors


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(0)
    return random.normal(size=(30, 8)).astype("float32"), random.normal(size=(50, 8)).astype("float32")


def test_the_scores_are_those_of_scikit_learns_truncated_svd(vectors):
    users, items = vectors
    peer = TruncatedSVD(3, algorithm="arpack", random_state=0)
    expected = peer.inverse_transform(peer.fit_transform((users @ items.T).astype("float64")))
    user, item = truncated_svd(users, items, 3)
    assert (user.shape, item.shape, user.dtype) == ((30, 3), (50, 3), np.float32)
    np.testing.assert_allclose(user @ item.T, expected, atol=1e-5)


def test_both_sides_carry_the_root_of_a_singular_value(vectors):
    users, items = vectors
    values = np.linalg.svd(users @ items.T, compute_uv=False)[:3]
    for side in truncated_svd(users, items, 3):
        np.testing.assert_allclose(np.linalg.norm(side, axis=0) ** 2, values, rtol=1e-5)


def test_the_full_width_loses_nothing(vectors):
    users, items = vectors
    user, item = truncated_svd(users, items, 8)
    np.testing.assert_allclose(user @ item.T, users @ items.T, atol=1e-4)


def test_a_student_answers_with_the_scores_of_the_svd(vectors):
    users, items = vectors
    student = bpr_mf(30, 50, 3)
    start_from_teacher(student, users, items)
    user, item = truncated_svd(users, items, 3)
    pairs = {"user": np.arange(30), "item": np.arange(30)}
    np.testing.assert_allclose(student.predict(pairs, verbose=0)[:, 0], (user * item[:30]).sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [0, 9])
def test_a_width_that_the_teacher_does_not_have_is_refused(vectors, width):
    with pytest.raises(
        ValueError, match=f"`width` must be from 1 to 8, the rank of the scores. Received: width={width}"
    ):
        truncated_svd(*vectors, width)


def test_vectors_of_two_widths_are_refused():
    with pytest.raises(ValueError, match=r"`users` and `items` must be .* Received: \(3, 2\) and \(4, 5\)"):
        truncated_svd(np.ones((3, 2)), np.ones((4, 5)), 1)


def test_a_student_whose_vectors_are_no_rows_of_a_table_is_refused(vectors):
    with pytest.raises(ValueError, match=r"`model` must have one table of the shape \(30, 3\) in its user_tower"):
        start_from_teacher(two_tower(USER_FIELDS, ITEM_FIELDS, embedding_width=2, hidden_units=(4,), width=3), *vectors)
    with pytest.raises(ValueError, match="one table of the shape"):
        start_from_teacher(bpr_mf(31, 50, 3), *vectors)
    with pytest.raises(ValueError, match="one table of the shape"):
        set_vectors(bpr_mf(30, 50, 2, item_bias=True), np.ones((30, 3)), np.ones((50, 3)))
