"""Normalised discounted cumulative gain, user by user."""

import numpy as np


def ndcg_at_k(label, score, user, k=10):
    """Mean over users of DCG@k / IDCG@k of their own rows, ordered by score.

    DCG@k = sum over the first k rows of label / log2(1 + rank); IDCG@k is that of the best order. The mean is over
    users with at least one positive and one negative row: for others every order is equally good, and counting them
    as 1 would only lift the number.

    Tied rows share the places they take: each gets the mean discount of those places, which is the expected value
    over all ways to break the tie. So neither the order of the rows in the file nor luck counts.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002; ties as in McSherry
    and Najork, "Computing information retrieval performance measures efficiently in the presence of tied scores",
    ECIR 2008.

    Args:
        label: [n], 0 or 1.
        score: float [n], higher is ranked first.
        user: int [n], who the row belongs to; rows in any order.
        k: length of the list, at least 1.

    Returns: a float, or None where no user has both a positive and a negative row.

    >>> ndcg_at_k([1, 0], [0.2, 0.9], user=[7, 7])  # the positive is second: 1 / log2(3)
    0.630...
    """
    label, score, user = np.asarray(label, np.float64), np.asarray(score), np.asarray(user)
    if not (label.shape == score.shape == user.shape and label.ndim == 1):
        raise ValueError(
            "label, score and user: expected the same shape (n,), received"
            f" {label.shape}, {score.shape} and {user.shape}."
        )
    if k < 1:
        raise ValueError(f"k: expected at least 1, received {k}.")
    if not len(label):
        return None
    order = np.lexsort((-score, user))
    label, score, user = label[order], score[order], user[order]
    new_user = np.r_[True, user[1:] != user[:-1]]
    new_tie = new_user | np.r_[True, score[1:] != score[:-1]]
    first = np.flatnonzero(new_user)
    owner = np.cumsum(new_user) - 1
    place = np.arange(len(label)) - first[owner]

    discount = np.where(place < k, 1 / np.log2(place + 2), 0)
    tie = np.cumsum(new_tie) - 1
    shared = np.bincount(tie, discount) / np.bincount(tie)
    dcg = np.bincount(owner, label * shared[tie])

    rows = np.bincount(owner)
    positives = np.bincount(owner, label).astype(np.int64)
    ideal = np.r_[0, np.cumsum(1 / np.log2(np.arange(k) + 2))][np.minimum(positives, k)]
    counted = (positives > 0) & (positives < rows)
    return float((dcg[counted] / ideal[counted]).mean()) if counted.any() else None
