"""What a rating says about having chosen an item."""

from numbers import Real

import numpy as np

NEUTRAL_RATING = 3


def labels_of_ratings(rating, labels):
    """(rows that stay [m], their labels float32 [m]).

    Args:
        rating: numbers [n].
        labels: "clicks": label 1 where the rating is above 3, rows with rating 3 left out. "all": every rating counts as a
            choice, label 1. A number: label 1 where the rating is at least that, no row left out.

    Raises:
        ValueError: where `labels` is none of these.

    >>> labels_of_ratings(np.array([5, 3, 1]), "clicks")
    (array([0, 2]), array([1., 0.], dtype=float32))
    """
    if labels == "all":
        return np.arange(len(rating)), np.ones(len(rating), np.float32)
    if labels == "clicks":
        kept = np.flatnonzero(rating != NEUTRAL_RATING)
        return kept, (rating[kept] > NEUTRAL_RATING).astype(np.float32)
    if isinstance(labels, bool) or not isinstance(labels, Real):
        raise ValueError(
            f"Received an invalid value for `labels`, expected 'clicks', 'all' or a number. Received: {labels!r}"
        )
    return np.arange(len(rating)), (rating >= labels).astype(np.float32)
