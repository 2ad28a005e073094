"""The identity of a split and of vectors."""

import hashlib

import numpy as np

from tfdistill.data.implicit import PARTS


def split_fingerprint(dataset):
    """Returns a text that is the same for the same users, items and pairs in the same parts, and another for any other.

    The order of the users in `pairs` does not matter; that of a user's pairs does where it is that of time.

    Args:
        dataset: `ImplicitDataset`.

    >>> one = ImplicitDataset(2, 2, {"train": [[0, 0], [1, 1]], "validation": [], "test": [[0, 1]]})
    >>> other = ImplicitDataset(2, 2, {"train": [[1, 1], [0, 0]], "validation": [], "test": [[0, 1]]})
    >>> split_fingerprint(one) == split_fingerprint(other)
    True
    """
    digest = hashlib.sha256(f"{dataset.users} users, {dataset.items} items".encode())
    for part in PARTS:
        pairs = dataset.pairs[part]
        order = np.argsort(pairs[:, 0], kind="stable") if dataset.is_ordered else np.lexsort((pairs[:, 1], pairs[:, 0]))
        _add(digest, pairs[order])
    return digest.hexdigest()


def vectors_fingerprint(*arrays):
    """Returns a text that is the same for the same arrays in the same order, compared in float32.

    >>> vectors_fingerprint([[1.0, 2.0]]) == vectors_fingerprint(numpy.array([[1, 2]], "float32"))
    True
    """
    digest = hashlib.sha256()
    for array in arrays:
        _add(digest, np.asarray(array, np.float32))
    return digest.hexdigest()


def _add(digest, array):
    digest.update(f"{array.dtype.name}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
