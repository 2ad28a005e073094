"""A split that others made, as papers publish theirs: numbered pairs in a .npz file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError

NAMES = {"train": ("train",), "validation": ("valid", "validation", "val"), "test": ("test",)}


def from_split(source, *, users=None, items=None, is_ordered=False):
    """Reads a given split of numbered pairs.

    Nothing is renumbered, filtered or dropped, so that numbers of users and items are those of the paper's own files. There
    are as many users as the largest number plus one, over all parts, and items likewise.

    Args:
        source: path of a .npz file with the arrays "train", "valid" (or "validation", "val") and "test", or a dict of such
            arrays; each integers [n, 2] of (user, item). Validation or test may be absent.
        users, items: how many there are, where that is more than the files show.
        is_ordered: whether the pairs of a user stand in the order of time.

    Returns:
        An `ImplicitDataset` without features.

    Raises:
        UserError: where the file is missing or damaged, an array has another shape or holds other than whole numbers, a pair
            occurs twice (in a part or across them), or nothing is to train on.

    >>> data = from_split("citeulike-topology/split.npz")
    >>> data.users, data.items, {part: len(pairs) for part, pairs in data.pairs.items()}
    (5219, 25181, {'train': 115142, 'validation': 5219, 'test': 5219})
    """
    if isinstance(source, Mapping):
        arrays, name = source, "the given split"
    else:
        arrays, name = _read(Path(source).expanduser()), str(source)
    unknown = sorted(set(arrays) - {one for names in NAMES.values() for one in names})
    if unknown or not any(one in arrays for one in NAMES["train"]):
        raise UserError(
            f"{name}: expected the arrays train, valid (or validation) and test. Received: {', '.join(sorted(arrays))}."
        )
    pairs = {part: _pairs(arrays, part, name) for part in NAMES}
    largest = np.concatenate(list(pairs.values())).max(axis=0, initial=-1)
    return ImplicitDataset(
        users=_count("users", users, int(largest[0]) + 1),
        items=_count("items", items, int(largest[1]) + 1),
        pairs=pairs,
        is_ordered=is_ordered,
        source=name,
    )


def _read(path):
    if not path.is_file():
        raise UserError(f"data.path: no file '{path}'; pass a .npz file with the arrays train, valid and test.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as problem:  # a damaged zip raises a dozen kinds: BadZipFile, TokenError, NotImplementedError, ...
        raise UserError(
            f"{path}: not a .npz file of arrays, or damaged ({type(problem).__name__}: {problem})."
        ) from problem


def _pairs(arrays, part, name):
    present = [one for one in NAMES[part] if one in arrays]
    if len(present) > 1:
        raise UserError(f"{name}: the arrays {' and '.join(present)} mean the same part; keep one.")
    if not present:
        return np.empty((0, 2), np.int64)
    pairs = np.asarray(arrays[present[0]])
    if not pairs.size:
        return np.empty((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise UserError(
            f"{name}: `{present[0]}` must be whole numbers of the shape [n, 2]. Received: {pairs.dtype} {list(pairs.shape)}."
        )
    largest = np.iinfo(np.int32).max
    if pairs.min() < 0 or pairs.max() >= largest:
        raise UserError(
            f"{name}: `{present[0]}` must hold numbers from 0 to {largest - 1}. Received: {pairs.min()} to {pairs.max()}."
        )
    return pairs.astype(np.int64)


def _count(argument, count, least):
    if count is None:
        return least
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < least:
        raise ValueError(f"Received an invalid value for `{argument}`, expected at least {least}. Received: {count!r}")
    return int(count)
