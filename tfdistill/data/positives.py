"""From interactions as they were read to who chose what, in three parts."""

import numpy as np

from tfdistill.data.features import encode_bags, encode_categories, encode_numbers, entity_cells
from tfdistill.data.fields import Field, check_choice
from tfdistill.data.implicit import PARTS, ImplicitDataset
from tfdistill.data.k_core import k_core
from tfdistill.data.pair_split import split_pairs
from tfdistill.data.split import check_times, given_parts
from tfdistill.data.values import counted, look_up, plain, tidy, vocabulary_of
from tfdistill.errors import UserError

UNSEEN = ("keep", "drop")


def implicit(
    interactions,
    split="random",
    *,
    train=0.8,
    validation=0.1,
    test=0.1,
    by=None,
    seed=0,
    given=None,
    only_positive=True,
    min_user_count=1,
    min_item_count=1,
    unseen="keep",
):
    """Turns interactions into pairs of a user and an item that the user chose, numbered and split.

    In this order: rows with label 0 are left out; of a pair that occurs again, the first in time (else in the file) stays;
    users and items with too few pairs are left out until none is (`k_core`, on all pairs, as papers do); the rest is split.
    `ImplicitDataset.dropped` counts what each step left out. Users and items are numbered by their sorted raw ids.

    Training learns nothing of the other parts but which users and items there are: vocabularies of features, means and
    deviations come from users and items with a training pair. Validation and test pairs whose item (or user) has no
    training pair stay, and count: such an item is in the catalogue, is ranked with the rest by whatever score its untrained
    vector gives, and is a miss where that is low. `unseen="drop"` leaves them out; `ImplicitDataset.summary()` counts them.

    Args:
        interactions: `Interactions`. Context features have no place here and are left behind.
        split: "random", "leave_one_out", "temporal", "user_ratio" (see `split_pairs`) or "given".
        train, validation, test: shares, positive, with the sum 1; not for "leave_one_out" and "given".
        by: for "leave_one_out" and "user_ratio": order of a user's pairs, "time" or "random"; None: time where there is one.
        seed: non-negative integer.
        given: for "given": a part for each of the interactions, [n] of 0, 1, 2 or "train", "validation", "test".
        only_positive: whether rows with label 0 are left out; `False` takes every row for a choice.
        min_user_count, min_item_count: least number of pairs of a user and of an item.
        unseen: "keep" or "drop" validation and test pairs whose user or item has no training pair.

    Returns:
        An `ImplicitDataset`.

    Raises:
        UserError: where a step leaves nothing, a part is empty, times are missing, a feature is missing, or a given split
            holds a pair in two parts.

    >>> data = implicit(movielens_100k("ml-100k", labels="all"), "leave_one_out")
    >>> data.users, data.items, len(data.pairs["test"])
    (943, 1682, 943)
    """
    check_choice("unseen", unseen, UNSEEN)
    source, dropped = interactions.source, {}
    user, user_ids = _numbers(interactions.user, interactions.user_name, source)
    item, item_ids = _numbers(interactions.item, interactions.item_name, source)
    time = None if interactions.time is None else check_times(interactions.time, source)
    parts = given_parts(given, len(interactions)) if split == "given" else None

    rows = np.arange(len(interactions))
    if only_positive:
        rows = rows[interactions.label == 1]
        dropped["not chosen (label 0)"] = len(interactions) - len(rows)
        if not len(rows):
            raise UserError(
                f"{source}: no row of {len(interactions):,} has label 1; lower the threshold of the ratings, or pass "
                f"`only_positive=False` to take every row for a choice."
            )

    first = _first_of_pairs(user[rows], item[rows], len(item_ids), None if time is None else time[rows])
    dropped["duplicates"] = len(rows) - int(first.sum())
    if parts is not None:
        _refuse_pairs_in_two_parts(user[rows], item[rows], parts[rows], user_ids, item_ids, source)
    rows = rows[first]

    enough = k_core(user[rows], item[rows], min_user_count, min_item_count)
    dropped["too few pairs (k-core)"] = len(rows) - int(enough.sum())
    if not enough.any():
        raise UserError(
            f"{source}: no pair of {len(rows):,} is left where every user has {min_user_count} pairs and every item "
            f"{min_item_count}; lower `min_user_count` or `min_item_count`."
        )
    rows = rows[enough]

    if parts is None:
        parts = np.zeros(len(interactions), np.int8)
        parts[rows] = split_pairs(
            *(user[rows], None if time is None else time[rows], split),
            **{"train": train, "validation": validation, "test": test, "by": by, "seed": seed},
            **{"time_scope": interactions.time_scope, "source": source},
        )
    if unseen == "drop":
        seen = _has_training_pair(user, rows, parts) & _has_training_pair(item, rows, parts)
        dropped["unseen in training"] = len(rows) - int(seen.sum())
        rows = rows[seen]
    _refuse_empty_parts(parts[rows], split, source)

    rows = rows[np.argsort(user[rows], kind="stable") if time is None else np.lexsort((time[rows], user[rows]))]
    user_number, user_ids = _renumbered(user[rows], user_ids)
    item_number, item_ids = _renumbered(item[rows], item_ids)
    pairs = np.stack([user_number, item_number], axis=1).astype(np.int32)
    training = pairs[parts[rows] == 0]
    features = {
        "user": _Features(interactions, "user", user_ids, training[:, 0]),
        "item": _Features(interactions, "item", item_ids, training[:, 1]),
    }
    return ImplicitDataset(
        users=len(user_ids),
        items=len(item_ids),
        pairs={name: pairs[parts[rows] == number] for number, name in enumerate(PARTS)},
        user_fields=features["user"].fields,
        item_fields=features["item"].fields,
        user_features=features["user"].tables,
        item_features=features["item"].tables,
        vocabularies=features["user"].vocabularies | features["item"].vocabularies,
        numeric=features["user"].numeric | features["item"].numeric,
        user_ids=user_ids,
        item_ids=item_ids,
        is_ordered=time is not None,
        dropped=dropped,
        source=source,
    )


def _numbers(ids, name, source):
    """(int64 [n], sorted raw ids): the place of each id among the sorted different ones."""
    values, missing = tidy(ids, name)
    if missing.any():
        raise UserError(
            f"{source}: {counted(int(missing.sum()), 'id is', 'ids are')} missing in the column '{name}'; drop those rows."
        )
    vocabulary = vocabulary_of(values)
    return look_up(values, vocabulary).astype(np.int64) - 1, vocabulary


def _renumbered(numbers, ids):
    """The same without the numbers that do not occur."""
    occurs = np.bincount(numbers, minlength=len(ids)) > 0
    return (np.cumsum(occurs) - 1)[numbers], ids[occurs]


def _first_of_pairs(user, item, items, time):
    """bool [n]: no earlier row holds the same pair."""
    import pandas

    order = np.arange(len(user)) if time is None else np.argsort(time, kind="stable")
    first = np.empty(len(user), bool)
    first[order] = ~pandas.Series((user * items + item)[order]).duplicated().to_numpy()
    return first


def _refuse_pairs_in_two_parts(user, item, parts, user_ids, item_ids, source):
    import pandas

    pairs = pandas.DataFrame({"user": user, "item": item, "part": parts}).drop_duplicates()
    twice = pairs.duplicated(["user", "item"])
    if twice.any():
        row = pairs[twice].iloc[0]
        raise UserError(
            f"{source}: {counted(int(twice.sum()), 'pair is', 'pairs are')} in more than one part of the given split, such as "
            f"user {plain(user_ids[row['user']])!r} and item {plain(item_ids[row['item']])!r}; keep each in one."
        )


def _has_training_pair(numbers, rows, parts):
    """bool [len(rows)]: the row's user (or item) has a training pair."""
    training = np.zeros(numbers.max() + 1, bool)
    training[numbers[rows[parts[rows] == 0]]] = True
    return training[numbers[rows]]


def _refuse_empty_parts(parts, split, source):
    for number, name in enumerate(PARTS):
        if not (parts == number).any() and (split != "given" or name == "train"):
            raise UserError(
                f"{source}: the {name} part is empty ({len(parts):,} pairs in all); give it a larger share, bring more pairs, "
                f"or choose another split."
            )


class _Features:
    """Fields, tables, vocabularies and statistics of the features of users or items, learned from the training pairs."""

    def __init__(self, interactions, of, ids, in_training):
        count = np.bincount(in_training, minlength=len(ids))
        self.fields, self.tables, self.vocabularies, self.numeric = (), {}, {}, {}
        for spec in (spec for spec in interactions.features if spec.of == of):
            cells, size = entity_cells(interactions, spec, ids), 0
            if spec.kind == "numeric":
                table, self.numeric[spec.name] = encode_numbers(cells, count, spec, interactions.source)
            else:
                code = encode_bags if spec.kind == "bag" else encode_categories
                table, self.vocabularies[spec.name], _ = code(cells, count > 0, spec.name)
                size = len(self.vocabularies[spec.name]) + 1
            self.tables[spec.name] = table
            length = table.shape[1] if spec.kind == "bag" else 1
            self.fields += (Field(spec.name, spec.kind, of, size, length),)
