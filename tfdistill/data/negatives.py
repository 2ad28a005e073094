"""Items that a user did not choose, drawn anew every epoch for pairwise losses."""

import numpy as np

from tfdistill.data.complement import Complement
from tfdistill.data.implicit import PARTS
from tfdistill.data.random_streams import generator
from tfdistill.errors import UserError


class UniformNegatives:
    """Draws each of the items that a user has not chosen alike, with replacement.

    What is drawn depends on `(seed, epoch)` and the users asked for, on nothing else.

    By default only items of the user's *training* pairs are avoided, so validation and test items turn up as negatives as
    often as chance has it: a trainer in earnest cannot know them, and never drawing them tells the model which they are. Some
    papers' code avoids them all; `avoid=("train", "validation", "test")` does as they do, and leaks.

    Args:
        dataset: `ImplicitDataset`.
        avoid: parts whose items are not drawn for their user.

    Raises:
        UserError: in `draw`, for a user with no item left.
        ValueError: on an unknown part.

    >>> negatives = UniformNegatives(dataset)
    >>> negatives.draw(dataset.pairs["train"][:, 0], seed=1, epoch=0).shape
    (115142, 1)
    """

    def __init__(self, dataset, avoid=("train",)):
        self._complement = complement_of(dataset, avoid)

    def draw(self, users, count=1, *, seed, epoch):
        """`count` items for each of `users` [n]: int32 [n, count]."""
        return self._complement.draw(users, count, generator("uniform_negatives", seed, epoch))


class PopularityNegatives:
    """Draws items that a user has not chosen with p ∝ (training pairs of the item)^alpha; else as `UniformNegatives`.

    Items without a training pair are never drawn.

    Args:
        dataset: `ImplicitDataset`.
        alpha: above 0; 1 is popularity itself, .75 that of word2vec.
        avoid: parts whose items are not drawn for their user.

    Mikolov and others, "Distributed Representations of Words and Phrases and their Compositionality", 2013, arXiv:1310.4546.

    >>> PopularityNegatives(dataset, alpha=1.0).draw([0, 1], count=3, seed=1, epoch=0).shape
    (2, 3)
    """

    def __init__(self, dataset, alpha=0.75, avoid=("train",)):
        if not alpha > 0:
            raise ValueError(f"Received an invalid value for `alpha`, expected a number above 0. Received: {alpha!r}")
        counts = dataset.item_counts("train").astype(np.float64)
        self._complement = complement_of(dataset, avoid, np.where(counts > 0, counts**alpha, 0.0))

    def draw(self, users, count=1, *, seed, epoch):
        """`count` items for each of `users` [n]: int32 [n, count]."""
        return self._complement.draw(users, count, generator("popularity_negatives", seed, epoch))


class ListedNegatives:
    """Draws negatives from a list for each user: a teacher's best items (hard negatives), or any that are given.

    p ∝ exp(-rank / scale), or all of a list alike. Items of the parts in `avoid` are left out of the lists. A teacher that
    ranks well has test items near the top; they are drawn like the others (see `UniformNegatives`).

    Args:
        dataset: `ImplicitDataset`.
        lists: int [users, k], best first; numbers below 0 fill up shorter lists. A teacher's `Rankings.items`, for instance.
        scale: of the exponential in ranks, above 0; None draws all alike.
        avoid: parts whose items are not drawn for their user.

    Raises:
        UserError: on items out of range; in `draw`, for a user whose list holds nothing to draw.
        ValueError: on lists of another shape, an unknown part, a scale not above 0.

    >>> ListedNegatives(dataset, rankings.items[:, :50], scale=20).draw([0, 1], seed=1, epoch=0).shape
    (2, 1)
    """

    def __init__(self, dataset, lists, scale=None, avoid=("train",)):
        lists = np.asarray(lists)
        if lists.ndim != 2 or len(lists) != dataset.users or lists.dtype.kind not in "iu":
            raise ValueError(
                f"Received invalid `lists`, expected whole numbers of the shape [{dataset.users}, k]. "
                f"Received: {lists.dtype} {list(lists.shape)}"
            )
        if lists.size and lists.max() >= dataset.items:
            raise UserError(
                f"{dataset.source}: `lists` holds the item {lists.max()}, there are {dataset.items} (0 to {dataset.items - 1})."
            )
        if scale is not None and not scale > 0:
            raise ValueError(f"Received an invalid value for `scale`, expected a number above 0. Received: {scale!r}")
        weights = np.exp(-np.arange(lists.shape[1]) / scale) if scale else np.ones(lists.shape[1])
        weights = np.where((lists >= 0) & ~_chosen(dataset, lists, avoid), weights, 0.0)
        ends = np.cumsum(weights, axis=1)
        self._left = ends[:, -1]
        # Each user's stretch of the line has the length 1, so that one search over all finds the place in a user's list.
        share = ends / np.where(self._left > 0, self._left, 1.0)[:, None]
        self._ends = (share + np.arange(len(lists))[:, None]).ravel()
        self._last = lists.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
        self._lists, self._source = lists.astype(np.int32), dataset.source

    def draw(self, users, count=1, *, seed, epoch):
        """`count` items for each of `users` [n]: int32 [n, count]."""
        users = np.asarray(users, np.int64)
        empty = self._left[users] == 0
        if empty.any():
            raise UserError(
                f"{self._source}: the list of user {users[empty.argmax()]} holds no item to draw as a negative; pass longer "
                f"lists."
            )
        place = generator("listed_negatives", seed, epoch).random((len(users), count)) + users[:, None]
        rank = np.searchsorted(self._ends, place, side="right") - users[:, None] * self._lists.shape[1]
        return self._lists[users[:, None], np.minimum(rank, self._last[users][:, None])]


def log_sampling_probability(dataset):
    """How likely each item is to be in a batch of training pairs, for in-batch negatives: log q_i = log(n_i / n).

    Subtracted from the scores of a batch's items, it undoes that popular ones are negatives more often. Items without a
    training pair, which no batch holds, get the value of an item with one.

    Args:
        dataset: `ImplicitDataset`.

    Returns:
        float32 [items].

    Yi and others, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019.

    >>> log_sampling_probability(ImplicitDataset(2, 2, {"train": [[0, 0], [1, 0], [0, 1]], "validation": [], "test": []}))
    array([-0.4054651, -1.0986123], dtype=float32)
    """
    counts = dataset.item_counts("train")
    return np.log(np.maximum(counts, 1) / counts.sum()).astype(np.float32)


def complement_of(dataset, avoid, weights=None):
    """The `Complement` of what each user has chosen in the parts `avoid`."""
    check_parts(avoid)
    return Complement(dataset.lists(*avoid), dataset.items, weights, dataset.source)


def _chosen(dataset, lists, avoid):
    """bool [users, k], True where the user has the item in one of the parts."""
    check_parts(avoid)
    pairs = np.concatenate([dataset.pairs[part] for part in avoid]).astype(np.int64)
    keys = np.arange(len(lists))[:, None] * dataset.items + lists
    return np.isin(keys, pairs[:, 0] * dataset.items + pairs[:, 1])


def check_parts(parts):
    """Refuses what is not some of the names of parts."""
    if isinstance(parts, str) or not parts or not set(parts) <= set(PARTS):
        raise ValueError(f"Received invalid parts, expected some of {PARTS}. Received: {parts!r}")
