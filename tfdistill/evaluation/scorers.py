"""What scores all items for users: vectors, or a model of pairs."""

import numpy as np


def dot_scores(user_vectors, item_vectors):
    """Scores every item for a user by the inner product of their vectors, in float32.

    Args:
        user_vectors: float [users, d].
        item_vectors: float [items, d].

    Returns: a function users int [b] -> float32 [b, items], for `evaluate_ranking` and `rank_items`. Its `fingerprint()` is
        that of the vectors; its `swapped()`, of the same fingerprint, goes the other way round, items int [b] -> float32
        [b, users], for `rank_users`.

    Raises:
        ValueError: for vectors of other shapes.

    >>> score = dot_scores([[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0], [4.0, 5.0]])
    >>> score([1, 0])
    array([[ 2., 10.],
           [ 3.,  4.]], dtype=float32)
    """
    return _DotScores(np.asarray(user_vectors, np.float32), np.asarray(item_vectors, np.float32))


class _DotScores:
    def __init__(self, user_vectors, item_vectors, is_swapped=False):
        if user_vectors.ndim != 2 or item_vectors.ndim != 2 or user_vectors.shape[1] != item_vectors.shape[1]:
            raise ValueError(
                "`user_vectors` and `item_vectors` must be [users, d] and [items, d] of one width d. Received shapes:"
                f" {user_vectors.shape} and {item_vectors.shape}"
            )
        self.user_vectors, self.item_vectors = user_vectors, item_vectors
        self._is_swapped = is_swapped

    def __call__(self, users):
        users = np.asarray(users)
        if len(users) and users.max() >= len(self.user_vectors):
            raise ValueError(f"`user_vectors` has {len(self.user_vectors)} rows. Asked for: user {users.max()}")
        return self.user_vectors[users] @ self.item_vectors.T

    def swapped(self):
        return _DotScores(self.item_vectors, self.user_vectors, not self._is_swapped)

    def fingerprint(self):
        from tfdistill.soft_targets.array_fingerprint import vectors_fingerprint  # it imports TensorFlow

        vectors = (self.user_vectors, self.item_vectors)
        return vectors_fingerprint(*(reversed(vectors) if self._is_swapped else vectors))


def pair_scores(predict, items, pairs_at_a_time=1 << 18):
    """Scores every item for a user by a model of pairs, such as NeuMF, which has no vectors.

    It costs users x items runs of the model: for small catalogues, or samples of users.

    Args:
        predict: (users int32 [n], items int32 [n]) -> numbers [n] or [n, 1].
        items: how many items there are.
        pairs_at_a_time: pairs that `predict` gets in a call.

    Returns: a function users int [b] -> [b, items].

    >>> score = pair_scores(lambda users, items: 10 * users + items, items=3)
    >>> score([2, 5]).tolist()
    [[20, 21, 22], [50, 51, 52]]
    """

    def score(users):
        user = np.repeat(np.asarray(users, np.int32), items)
        item = np.tile(np.arange(items, dtype=np.int32), len(users))
        parts = [
            np.asarray(predict(user[start : start + pairs_at_a_time], item[start : start + pairs_at_a_time])).reshape(
                -1
            )
            for start in range(0, len(user), pairs_at_a_time)
        ]
        return np.concatenate(parts).reshape(len(users), items)

    return score
