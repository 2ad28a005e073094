"""Epochs of (user, chosen item, other items) for pairwise losses."""

import numpy as np

from tfdistill.data.batches import train_batches


def pairwise_columns(dataset, negatives, *, seed, epoch, count=1):
    """Every training pair with negatives of this epoch.

    Args:
        dataset: `ImplicitDataset`.
        negatives: `UniformNegatives`, `PopularityNegatives` or `ListedNegatives`, drawn anew for every epoch; or the
            negatives themselves, int [training pairs, m], row by row, the same in every epoch.
        seed, epoch: non-negative integers; nothing else decides what is drawn.
        count: negatives a pair, where they are drawn.

    Returns:
        {"user": int32 [n], "item": int32 [n], "negative": int32 [n], or [n, count] with a count above 1}.

    Raises:
        ValueError: where given negatives are not one row a training pair, or out of range.

    >>> columns = pairwise_columns(dataset, UniformNegatives(dataset), seed=1, epoch=0)
    >>> {name: column.shape for name, column in columns.items()}
    {'user': (115142,), 'item': (115142,), 'negative': (115142,)}
    """
    user, item = np.ascontiguousarray(dataset.pairs["train"].T)
    if hasattr(negatives, "draw"):
        drawn = negatives.draw(user, count, seed=seed, epoch=epoch)
    else:
        drawn = np.asarray(negatives)
        drawn = drawn[:, None] if drawn.ndim == 1 else drawn
        if drawn.ndim != 2 or len(drawn) != len(user) or drawn.dtype.kind not in "iu":
            raise ValueError(
                f"Received invalid `negatives`, expected whole numbers of the shape [{len(user)}, m], a row for each training "
                f"pair. Received: {drawn.dtype} {list(drawn.shape)}"
            )
        if drawn.size and not 0 <= drawn.min() <= drawn.max() < dataset.items:
            raise ValueError(
                f"Received invalid `negatives`, expected items from 0 to {dataset.items - 1}. "
                f"Received: {drawn.min()} to {drawn.max()}"
            )
    drawn = drawn.astype(np.int32)
    return {"user": user, "item": item, "negative": drawn[:, 0] if drawn.shape[1] == 1 else drawn}


def pairwise_batches(dataset, negatives, batch_size, *, seed, epoch, count=1, drop_remainder=True):
    """One epoch of shuffled batches of `pairwise_columns`, as `train_batches` makes them: a finite `tf.data.Dataset`.

    >>> next(iter(pairwise_batches(dataset, UniformNegatives(dataset), 1024, seed=1, epoch=0)))["negative"].shape
    TensorShape([1024])
    """
    columns = pairwise_columns(dataset, negatives, seed=seed, epoch=epoch, count=count)
    return train_batches(columns, batch_size, seed, epoch, drop_remainder=drop_remainder)
