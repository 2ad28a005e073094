"""Which rows train, which validate, which test."""

import numpy as np

from tfdistill.data.random_streams import generator
from tfdistill.data.values import counted, plain
from tfdistill.errors import UserError

PARTS = ("train", "validation", "test")


def split(interactions, method="random", train=0.8, validation=0.1, test=0.1, seed=0, given=None):
    """Assigns every interaction to training (0), validation (1) or test (2).

    "random" draws rows without regard to anything else. "temporal" trains on the oldest rows and tests on the newest:
    over all rows, or within each user's own rows where times only order those (`Interactions.time_scope` "user"). Rows
    of equal time keep their order. "given" takes the parts from the data.

    Args:
        interactions: `Interactions`.
        method: "random", "temporal" or "given".
        train, validation, test: shares, positive, with the sum 1.
        seed: non-negative integer, for "random".
        given: [n] of 0, 1, 2 or "train", "validation", "test", for "given".

    Returns:
        int8 [n].

    Raises:
        UserError: on shares that do not sum to 1, on an empty part, on a part with a single class, on missing times.

    >>> np.bincount(split(interactions, seed=1)) / len(interactions)
    array([0.8, 0.1, 0.1])
    """
    if method == "given":
        parts = given_parts(given, len(interactions))
    else:
        shares = {"train": train, "validation": validation, "test": test}
        check_shares(shares)
        if method == "random":
            order = generator("split", seed).permutation(len(interactions))
            parts = np.empty(len(interactions), np.int8)
            parts[order] = parts_of_sorted(len(interactions), train, validation)
        elif method == "temporal":
            parts = _temporal(interactions, train, validation)
        else:
            raise UserError(f"data.split.method: '{method}' is not a split; choose random or temporal.")
    _check_parts(parts, interactions)
    return parts


def check_shares(shares):
    """Refuses shares {part: share} that are not between 0 and 1 or do not sum to 1."""
    text = ", ".join(f"{name} {share}" for name, share in shares.items())
    if not all(0 < share < 1 for share in shares.values()):
        raise UserError(f"data.split: every share must lie between 0 and 1 ({text}).")
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise UserError(f"data.split: the shares sum to {total:g}, not to 1 ({text}).")


def parts_of_sorted(count, train, validation):
    """The parts of `count` rows that stand in order: int8, first all 0, then 1, then 2."""
    last_train, last_validation = round(count * train), round(count * (train + validation))
    return (np.arange(count) >= last_train).astype(np.int8) + (np.arange(count) >= last_validation).astype(np.int8)


def check_times(time, source):
    """The times as an array; refuses missing ones."""
    time = np.asarray(time)
    if time.dtype.kind == "f" and np.isnan(time).any():
        raise UserError(
            f"{source}: {counted(int(np.isnan(time).sum()), 'time is', 'times are')} missing; drop those rows."
        )
    return time


def _temporal(interactions, train, validation):
    if interactions.time is None:
        raise UserError(f"{interactions.source}: a temporal split needs times; name a time column or split at random.")
    time = check_times(interactions.time, interactions.source)
    count = len(interactions)
    parts = np.empty(count, np.int8)
    if interactions.time_scope == "global":
        parts[np.argsort(time, kind="stable")] = parts_of_sorted(count, train, validation)
        return parts
    import pandas

    user = pandas.factorize(np.asarray(interactions.user))[0]
    order = np.lexsort((time, user))
    own = np.bincount(user)
    place = np.arange(count) - np.repeat(np.cumsum(own) - own, own)
    # The middle of a row's place decides, so that short histories still fill all parts taken together.
    share = (place + 0.5) / np.repeat(own, own)
    parts[order] = (share >= train).astype(np.int8) + (share >= train + validation).astype(np.int8)
    return parts


def given_parts(given, count):
    """Parts as numbers, int8, from numbers or names."""
    if given is None:
        raise UserError('data.split: method "given" needs the parts; pass `given`.')
    given = np.asarray(given)
    if len(given) != count:
        raise UserError(f"data.split: {len(given):,} parts are given for {count:,} rows.")
    known = PARTS if given.dtype.kind in "UO" else (0, 1, 2)
    parts = np.full(count, -1, np.int8)
    for number, name in enumerate(known):
        parts[given == name] = number
    if (parts < 0).any():
        first = int((parts < 0).argmax())
        raise UserError(f"data.split: row {first + 1:,} has the part {plain(given[first])!r}; expected one of {known}.")
    return parts


def _check_parts(parts, interactions):
    for number, name in enumerate(PARTS):
        if not (parts == number).any():
            raise UserError(
                f"{interactions.source}: the {name} part is empty ({len(interactions):,} rows in all); "
                f"give it a larger share or bring more rows."
            )
    for number, name in enumerate(PARTS):
        label = interactions.label[parts == number]
        if label.min() == label.max():
            raise UserError(
                f"{interactions.source}: the {name} part ({counted(len(label), 'row', 'rows')}) has no label but {label[0]:g}; "
                f"bring more rows or choose another seed or split."
            )
