"""Candidates of the sampled-negative protocol: a pair's own item among others."""

import numpy as np

from tfdistill.data.implicit import PARTS
from tfdistill.data.negatives import check_parts, complement_of
from tfdistill.data.random_streams import generator
from tfdistill.errors import UserError


def sampled_candidates(dataset, part="test", count=499, *, seed=0):
    """Items to rank for each pair of a part under the sampled-negative protocol: the pair's own and `count` others.

    The others are drawn uniformly, without repetition, from the items that the user has in no part. Numbers under this
    protocol are far higher than those of full ranking and do not compare with them.

    Args:
        dataset: `ImplicitDataset`.
        part: "validation" or "test".
        count: others a pair.
        seed: non-negative integer; the same candidates come back for the same seed.

    Returns:
        int32 [pairs of the part, 1 + count], the pair's own item first.

    Raises:
        UserError: for a user with fewer than `count` other items.

    >>> sampled_candidates(data.from_split("citeulike-derrd/split.npz")).shape
    (5219, 500)
    """
    check_parts((part,))
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise ValueError(f"Received an invalid value for `count`, expected a positive integer. Received: {count!r}")
    pairs = dataset.pairs[part]
    users = pairs[:, 0].astype(np.int64)
    lists = dataset.lists(*PARTS)
    available = dataset.items - lists.lengths[users]
    if (available < count).any():
        few = int(available.argmin())
        raise UserError(
            f"{dataset.source}: user {users[few]} has {available[few]} items in no part, fewer than the {count} "
            f"candidates asked for; lower `count`."
        )
    random = generator("sampled_candidates", PARTS.index(part), seed)
    complement = complement_of(dataset, PARTS)
    others = complement.draw(users, count, random)
    # To draw again what came before in the row is to go on drawing until there are `count` different ones.
    dense = 2 * count > available
    rows = np.flatnonzero(~dense)
    while len(rows):
        repeats = _repeats(others[rows])
        rows, repeats = rows[repeats.any(axis=1)], repeats[repeats.any(axis=1)]
        place = np.nonzero(repeats)
        if len(rows):
            others[rows[place[0]], place[1]] = complement.draw(users[rows[place[0]]], 1, random)[:, 0]
    for row in np.flatnonzero(dense):
        free = np.setdiff1d(np.arange(dataset.items), lists.of(users[row]), assume_unique=True)
        others[row] = random.choice(free, count, replace=False)
    return np.concatenate([pairs[:, 1:], others], axis=1)


def _repeats(rows):
    """bool, True where a number stands earlier in the same row."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return again
