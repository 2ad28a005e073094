"""Histories of items for models that predict the next one."""

import numpy as np

from tfdistill.data.batches import train_batches
from tfdistill.errors import UserError


def histories(dataset, parts=("train",), max_length=50):
    """The latest items of every user, as sequence models read them.

    Entries are item number + 1; 0 fills up shorter histories on the left. To validate, a model may know the training
    pairs; to test, it may know those and the validation pairs: `parts=("train", "validation")`.

    Args:
        dataset: `ImplicitDataset` whose pairs stand in the order of time.
        parts: what the histories are made of.
        max_length: L; of longer histories the last L items are kept.

    Returns:
        int32 [users, L].

    Raises:
        UserError: where the pairs have no order.

    >>> data = ImplicitDataset(2, 9, {"train": [[0, 4], [0, 2], [1, 8]], "validation": [], "test": []}, is_ordered=True)
    >>> histories(data, max_length=3)
    array([[0, 5, 3],
           [0, 0, 9]], dtype=int32)
    """
    _check(dataset, max_length)
    lists = dataset.lists(*parts)
    return left_padded(lists.items, lists.offsets[:-1], lists.offsets[1:], max_length)


def next_item_windows(dataset, max_length=50, windows="last"):
    """Histories and, for each of their places, the item that came next, from the training pairs.

    Kang and McAuley, "Self-Attentive Sequential Recommendation", 2018, arXiv:1808.09781: the history is all but the last of a
    user's training items, the targets all but the first; 0 marks places without. Users with one training item have none.

    Args:
        dataset: `ImplicitDataset` whose pairs stand in the order of time.
        max_length: L, places of a window.
        windows: "last" keeps the last L transitions of a user, as the paper does; "all" cuts longer lists into windows, from
            the end on, so that every transition is in exactly one.

    Returns:
        {"user": int32 [n], "history": int32 [n, L], "target": int32 [n, L]}; entries are item number + 1.

    Raises:
        UserError: where the pairs have no order, or no user has two training items.

    >>> data = ImplicitDataset(1, 9, {"train": [[0, 4], [0, 2], [0, 8]], "validation": [], "test": []}, is_ordered=True)
    >>> windows = next_item_windows(data, max_length=3)
    >>> windows["history"], windows["target"]
    (array([[0, 5, 3]], dtype=int32), array([[0, 3, 9]], dtype=int32))
    """
    _check(dataset, max_length)
    if windows not in ("last", "all"):
        raise ValueError(f"Received an invalid value for `windows`, expected 'last' or 'all'. Received: {windows!r}")
    lists = dataset.lists("train")
    transitions = np.maximum(lists.lengths - 1, 0)
    number = -(-transitions // max_length)
    number = np.minimum(number, 1) if windows == "last" else number
    if not number.any():
        raise UserError(f"{dataset.source}: no user has two training items, so none comes next; choose another split.")
    user = np.repeat(np.arange(dataset.users), number)
    back = np.arange(len(user)) - np.repeat(np.cumsum(number) - number, number)
    end = lists.offsets[1:][user] - 1 - back * max_length
    start = np.maximum(lists.offsets[:-1][user], end - max_length)
    return {
        "user": user.astype(np.int32),
        "history": left_padded(lists.items, start, end, max_length),
        "target": left_padded(lists.items, start + 1, end + 1, max_length),
    }


def next_item_batches(
    dataset, max_length, batch_size, *, seed, epoch, negatives=None, windows="last", drop_remainder=True
):
    """One epoch of shuffled batches of `next_item_windows`: a finite `tf.data.Dataset`.

    Args:
        dataset, max_length, windows: see `next_item_windows`.
        batch_size: windows a batch.
        seed, epoch: non-negative integers; nothing else decides order and negatives.
        negatives: a `UniformNegatives` or the like, for losses that want one at every place: "negative", int32
            [batch, L], item number + 1 and 0 where there is no target. `None`: none.
        drop_remainder: whether to drop the last, smaller batch.

    >>> next(iter(next_item_batches(dataset, 50, 128, seed=1, epoch=0)))["history"].shape
    TensorShape([128, 50])
    """
    columns = next_item_windows(dataset, max_length, windows)
    if negatives is not None:
        drawn = negatives.draw(columns["user"], max_length, seed=seed, epoch=epoch)
        columns["negative"] = np.where(columns["target"] > 0, drawn + 1, 0).astype(np.int32)
    return train_batches(columns, batch_size, seed, epoch, drop_remainder=drop_remainder)


def _check(dataset, max_length):
    if not dataset.is_ordered:
        raise UserError(
            f"{dataset.source}: the pairs stand in no order of time, which a history needs; name a time column."
        )
    if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)) or max_length < 1:
        raise ValueError(
            f"Received an invalid value for `max_length`, expected a positive integer. Received: {max_length!r}"
        )


def left_padded(items, start, end, length):
    """items[start:end] of each row plus one, the last `length` of them, right-aligned: int32 [rows, length]."""
    place = end[:, None] - length + np.arange(length)
    inside = place >= start[:, None]
    return np.where(inside, items[np.where(inside, place, 0)] + 1, 0).astype(np.int32)
