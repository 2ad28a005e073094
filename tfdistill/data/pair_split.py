"""Which pairs of users and items train, which validate, which test."""

import numpy as np

from tfdistill.data.fields import check_choice
from tfdistill.data.random_streams import generator
from tfdistill.data.split import check_shares, check_times, parts_of_sorted
from tfdistill.errors import UserError

METHODS = ("random", "leave_one_out", "temporal", "user_ratio", "given")
ORDERS = ("time", "random")
LEAST_PAIRS_TO_LEAVE_ONE_OUT = 3


def split_pairs(
    user, time, method, *, train=0.8, validation=0.1, test=0.1, by=None, seed=0, time_scope="global", source="pairs"
):
    """Assigns every pair to training (0), validation (1) or test (2).

    | method | what it does |
    |---|---|
    | "random" | shares of all pairs |
    | "temporal" | shares of all pairs in the order of time: training is the oldest |
    | "user_ratio" | shares of each user's own pairs; the first one always trains |
    | "leave_one_out" | each user's last pair tests, the one before validates; users with fewer than 3 pairs only train |

    Args:
        user: int [n], numbers from 0.
        time: sortable numbers [n] or None. Pairs of equal time keep their order.
        method: see the table.
        train, validation, test: shares, positive, with the sum 1.
        by: for the last two, the order of a user's pairs: "time", "random", or None: time where there is one.
        seed: non-negative integer, where anything is random.
        time_scope: "user" where times only order one user's own pairs; "temporal" is refused then.
        source: where the pairs came from, for messages.

    Returns:
        int8 [n].

    Raises:
        UserError: on shares that do not sum to 1, and on times that are missing or do not compare.
        ValueError: on an unknown `method` or `by`.

    >>> split_pairs(np.array([0, 0, 0, 0, 1]), np.array([3, 1, 4, 2, 1]), "leave_one_out")
    array([1, 0, 2, 0, 0], dtype=int8)
    """
    if method not in METHODS[:-1]:
        raise UserError(f"data.split.method: '{method}' is not a split; choose one of {', '.join(METHODS)}.")
    if by is not None:
        check_choice("by", by, ORDERS)
    count = len(user)
    if method != "leave_one_out":
        check_shares({"train": train, "validation": validation, "test": test})
    if time is not None:
        check_times(time, source)
    elif method == "temporal" or by == "time":
        raise UserError(f"{source}: a split by time needs times; name a time column or split at random.")
    random = generator("pair_split", seed)
    if method in ("random", "temporal"):
        if method == "temporal" and time_scope == "user":
            raise UserError(
                f"{source}: times only order each user's own pairs, so none is the oldest of all; split by `user_ratio` or "
                f"`leave_one_out`."
            )
        order = random.permutation(count) if method == "random" else np.argsort(time, kind="stable")
        parts = np.empty(count, np.int8)
        parts[order] = parts_of_sorted(count, train, validation)
        return parts

    by_time = time is not None and by != "random"
    order = np.lexsort((time if by_time else random.random(count), user))
    lengths = np.bincount(user)
    place = np.arange(count) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    length = lengths[user[order]]
    parts = np.empty(count, np.int8)
    if method == "leave_one_out":
        from_the_end = length - 1 - place
        left_out = np.select([from_the_end == 0, from_the_end == 1], [2, 1], 0)
        parts[order] = np.where(length < LEAST_PAIRS_TO_LEAVE_ONE_OUT, 0, left_out)
    else:
        parts[order] = _parts_by_middle(place, length, train, validation)
    return parts


def _parts_by_middle(place, length, train, validation):
    # The middle of a pair's place decides, so that short lists still fill all parts taken together.
    middle = (place + 0.5) / length
    parts = (middle >= train).astype(np.int8) + (middle >= train + validation).astype(np.int8)
    return np.where(place == 0, np.int8(0), parts)
