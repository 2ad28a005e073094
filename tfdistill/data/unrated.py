"""Pairs of users and items that nobody rated, for a teacher to label."""

import numpy as np

from tfdistill.data.random_streams import generator
from tfdistill.errors import UserError


def sample_unrated(dataset, count, seed):
    """Draws pairs of training users and training items that are no rated training pair, with replacement.

    A user is drawn as often as the user has training rows (a training row is drawn, and gives the user and the context),
    the item uniformly from the training items. Users who rated every item are left out.

    Pairs of the validation and the test part are *not* avoided: they turn up as often as chance has it. To avoid them
    would tell the student which pairs those parts hold. No label of theirs is used.

    Args:
        dataset: `Dataset`.
        count: number of pairs.
        seed: non-negative integer.

    Returns:
        (user int32 [count], item int32 [count], context_rows int64 [count]); users and items are vocabulary indices,
        which are also table rows, so that `dataset.pair_inputs` takes all three.

    Raises:
        UserError: where every user rated every item.

    >>> user, item, context_rows = sample_unrated(dataset, 1000, seed=1)
    >>> teacher_inputs = dataset.pair_inputs(user, item, context_rows)
    """
    random = generator("unrated", seed)
    items = dataset.fields[1].size
    training = dataset.rows("train")
    key = pair_keys(dataset.user_row[training], dataset.item_row[training], items)
    rated = np.unique(key)
    full = np.bincount(rated // items, minlength=dataset.fields[0].size) >= items - 1
    rows = training[~full[dataset.user_row[training]]]
    if not len(rows):
        raise UserError(f"{dataset.source}: every user rated every item, there is no unrated pair to sample.")
    rows = rows[random.integers(0, len(rows), count)]
    user = dataset.user_row[rows]
    item = random.integers(1, items, count, dtype=np.int32)
    # Only the item is drawn again: drawing the user again too would favour users with few ratings.
    again = np.flatnonzero(contains(rated, pair_keys(user, item, items)))
    while len(again):
        item[again] = random.integers(1, items, len(again), dtype=np.int32)
        again = again[contains(rated, pair_keys(user[again], item[again], items))]
    return user, item, rows


def pair_keys(user, item, items):
    """One int64 number a pair; `items` is the size of the item vocabulary."""
    return user.astype(np.int64) * items + item


def contains(sorted_keys, keys):
    """Which of `keys` are among `sorted_keys`; bool [len(keys)]."""
    place = np.searchsorted(sorted_keys, keys)
    place[place == len(sorted_keys)] = 0
    return sorted_keys[place] == keys
