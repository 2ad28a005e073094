"""Cross-validation: every pair is tested once."""

import dataclasses

import numpy as np

from tfdistill.data.implicit import PARTS, ImplicitDataset
from tfdistill.data.random_streams import generator


def k_folds(data, folds=5, seed=0):
    """Deals the pairs of every user evenly to `folds` piles; each in turn tests, the next one validates, the others train.

    Rows of `Interactions` with the same user and item stay together.

    Args:
        data: `Interactions`, before they are split: what training alone may see, such as vocabularies and means of features, is
            then made anew for every fold. Or an `ImplicitDataset`, whose parts are thrown together; its features stay as they
            are.
        folds: at least 3.
        seed: non-negative integer.

    Returns: a list of one item a fold. For `Interactions`, int8 [n] of 0 (train), 1 (validation) and 2 (test), as
        `tfdistill.data.implicit(..., split="given", given=...)` and `tfdistill.data.split` take it. For an `ImplicitDataset`,
        `ImplicitDataset`s, not in the order of time.

    Raises:
        ValueError: for fewer than 3 folds or more than pairs, and for data of another kind.

    >>> data = ImplicitDataset(1, 6, {"train": [[0, 0], [0, 1], [0, 2]], "validation": [[0, 3]], "test": [[0, 4], [0, 5]]})
    >>> [len(fold.pairs["test"]) for fold in k_folds(data, folds=3)]
    [2, 2, 2]
    """
    if isinstance(data, ImplicitDataset):
        pairs = np.concatenate([data.pairs[part] for part in PARTS])
        return [_with_parts(data, pairs, parts) for parts in _parts(pairs[:, 0], folds, seed)]
    if not (hasattr(data, "user") and hasattr(data, "item")):
        raise ValueError(f"`data` must be Interactions or an ImplicitDataset. Received: {type(data).__name__}")
    user, item = (np.unique(np.asarray(ids), return_inverse=True)[1].astype(np.int64) for ids in (data.user, data.item))
    # A pair that occurs again stays with its first occurrence.
    keys, pair = np.unique(user * (item.max(initial=0) + 1) + item, return_inverse=True)
    return [parts[pair] for parts in _parts(keys // (item.max(initial=0) + 1), folds, seed)]


def _parts(user, folds, seed):
    """For each fold the part of every pair, int8 [n]; pile p tests in fold p and validates in the fold before."""
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 3 <= folds <= len(user):
        raise ValueError(
            f"`folds` must be a whole number from 3 to the number of pairs, {len(user)}. Received: {folds!r}"
        )
    random = generator("folds", seed)
    # A user's pairs in random order go round the piles, and the next user goes on where they end.
    order = np.lexsort((random.random(len(user)), random.permutation(user.max() + 1)[user]))
    pile = np.empty(len(user), np.int64)
    pile[order] = np.arange(len(user)) % folds
    return [
        np.where(pile == fold, 2, np.where(pile == (fold + 1) % folds, 1, 0)).astype(np.int8) for fold in range(folds)
    ]


def _with_parts(dataset, pairs, parts):
    pairs = {name: pairs[parts == number] for number, name in enumerate(PARTS)}
    return dataclasses.replace(dataset, pairs=pairs, is_ordered=False)
