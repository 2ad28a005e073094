"""Users and items with enough pairs, counted again until all have enough."""

import numpy as np


def k_core(user, item, min_user_count, min_item_count):
    """Which pairs are left when users and items with too few pairs are taken away until none is left.

    Taking users away lowers the counts of items and the other way round, so both are counted until nothing changes; the
    result is the largest set of pairs in which everyone has enough, whichever side begins.

    Args:
        user, item: int [n], numbers from 0. Pairs are taken to be distinct.
        min_user_count, min_item_count: least number of pairs of a user and of an item.

    Returns:
        bool [n].

    >>> k_core(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 2]), 2, 2)
    array([ True,  True,  True,  True, False])
    """
    for name, value in (("min_user_count", min_user_count), ("min_item_count", min_item_count)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(
                f"Received an invalid value for `{name}`, expected a positive integer. Received: {value!r}"
            )
    rows = np.arange(len(user))
    while len(rows):
        enough = np.bincount(user[rows])[user[rows]] >= min_user_count
        enough &= np.bincount(item[rows])[item[rows]] >= min_item_count
        if enough.all():
            break
        rows = rows[enough]
    kept = np.zeros(len(user), bool)
    kept[rows] = True
    return kept
