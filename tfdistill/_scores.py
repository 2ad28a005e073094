"""Scores of everything for batches of users (or of items), and what may take the first places."""

import dataclasses

import numpy as np

from tfdistill.errors import UserError

SCORED_AT_A_TIME = 1 << 23  # 32 MiB of float32, which keeps a matrix product busy
RANKED_AT_A_TIME = 1 << 20  # 4 MiB, which stay in the cache between the passes over them
BLOCKS_PER_PLACE = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """What may take the first k places of each row, in some order of the tied; all arrays are [n], by row, best first.

    Attributes:
        row: whose list.
        column: what is in it; of tied ones the lower number first.
        place: its place, from 0, in the order of this array.
        start: the place of the first that is tied with it: how many score higher.
        tied: how many score the same, itself included.
    """

    row: np.ndarray
    column: np.ndarray
    place: np.ndarray
    start: np.ndarray
    tied: np.ndarray

    def chance(self, k):
        """The chance that it is among the first k where ties are broken at random: float64 [n]."""
        return np.clip(k - self.start, 0, self.tied) / self.tied


class ScoreBatches:
    """Goes through users in batches and scores all columns for each; iterating yields `ScoredBatch`es.

    Args:
        score: users int32 [b] -> numbers [b, columns].
        users: int [n].
        columns: how many scores a user has.
        k: how many of the first places are asked for.
        excluded: `ItemLists` of columns that are out of the question, by user; `None` for none.
        batch_size: users that are scored at a time; `None` for about eight million scores.
        progress: called as (users done, users in all) after every batch.
        names: what a row and a column are called in messages.

    Raises, while iterating:
        ValueError: for scores of another shape or kind.
        UserError: for scores that are NaN or infinite.
    """

    def __init__(self, score, users, columns, k, excluded=None, batch_size=None, progress=None, names=("user", "item")):
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
        self._score, self._users, self._columns, self._k = score, np.asarray(users, np.int32), columns, k
        self._excluded, self._progress, self._names = excluded, progress, names
        self._size = batch_size or max(1, SCORED_AT_A_TIME // columns)
        self._rows = min(self._size, max(1, RANKED_AT_A_TIME // columns))

    def __iter__(self):
        # An item in each of k blocks is as good as the worst of their best, so the k-th highest of the blocks' maxima is a
        # bound that k items reach: what lies below it is in nobody's list. Far cheaper than to partition all scores.
        length = max(1, self._columns // (BLOCKS_PER_PLACE * self._k))
        blocks = -(-self._columns // length)
        buffer = None
        for first in range(0, len(self._users), self._size):
            users = self._users[first : first + self._size]
            scores = self._numbers(users, self._score(users))
            if buffer is None or buffer.dtype != scores.dtype:
                buffer = np.full((self._rows, length * blocks), -np.inf, scores.dtype)
            for start in range(0, len(users), self._rows):
                rows = users[start : start + self._rows]
                padded = buffer[: len(rows)]
                padded[:, : self._columns] = scores[start : start + self._rows]
                self._check_finite(rows, padded[:, : self._columns])
                if self._excluded is not None:
                    padded[entries(self._excluded, rows)] = -np.inf
                yield ScoredBatch(rows, padded, padded[:, : self._columns], length, self._k)
            if self._progress is not None:
                self._progress(first + len(users), len(self._users))

    def _numbers(self, users, scores):
        scores, (of, what) = np.asarray(scores), self._names
        if scores.shape != (len(users), self._columns):
            raise ValueError(
                f"`score` must return a row for each {of} asked for and a column for each {what}, shape"
                f" {(len(users), self._columns)}. Received: {scores.shape}"
            )
        if scores.dtype in (np.float32, np.float64):
            return scores
        if not np.can_cast(scores.dtype, np.float64, "safe") and scores.dtype.kind not in "iuV":
            raise ValueError(f"`score` must return numbers. Received: {scores.dtype}")
        # As wide as it takes to keep different scores different; bfloat16 is of kind V.
        return scores.astype(np.float64 if scores.dtype.kind in "iu" else np.float32)

    def _check_finite(self, users, scores):
        finite = np.isfinite(scores)
        if not finite.all():
            (row, column), (of, what) = np.argwhere(~finite)[0], self._names
            raise UserError(
                f"score: a score is NaN or infinite: {scores[row, column]} for {of} {users[row]} and {what} {column}. The model"
                " has diverged, or its inputs hold such values."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredBatch:
    """The scores of a batch of users; good until the next batch.

    Attributes:
        users: int32 [b].
        padded: [b, length * blocks], -inf where excluded and behind the last column.
        scores: [b, columns], a view of it.
        length, k: of the blocks, of the lists.
    """

    users: np.ndarray
    padded: np.ndarray
    scores: np.ndarray
    length: int
    k: int

    def places(self):
        """The `Places` of the first k."""
        rows, width = self.padded.shape
        maxima = self.padded.reshape(rows, self.length, width // self.length).max(axis=1)
        bound = np.partition(maxima, -self.k, axis=1)[:, -self.k] if self.k < maxima.shape[1] else maxima.min(axis=1)
        bound = np.maximum(bound, np.finfo(bound.dtype).min)  # what is excluded never gets a place
        row, column = np.divmod(np.flatnonzero(self.padded >= bound[:, None]), width)
        value = self.padded[row, column]
        order = np.lexsort((-value, row))
        return sorted_places(row[order], column[order], value[order], self.k)

    def above(self, value):
        """How many columns of each row score higher than `value` [b], and how many the same: two int64 [b]."""
        return _counts(self.scores > value[:, None]), _counts(self.scores == value[:, None])


def sorted_places(row, column, value, k):
    """The `Places` of the first k of what is sorted by row, then by falling value."""
    new_row = np.diff(row, prepend=-1) != 0
    new_tie = new_row.copy()
    new_tie[1:] |= value[1:] != value[:-1]
    place = np.arange(len(row)) - np.flatnonzero(new_row)[np.cumsum(new_row) - 1]
    tie = np.cumsum(new_tie) - 1
    start, tied = place[new_tie][tie], np.bincount(tie)[tie]
    near = start < k
    return Places(row[near], column[near], place[near], start[near], tied[near])


def entries(lists, users):
    """The entries of `ItemLists` that belong to some users: (position in `users`, item), both int64 [n]."""
    first, lengths = lists.offsets[users], lists.lengths[users]
    rows = np.repeat(np.arange(len(users)), lengths)
    before = np.cumsum(lengths) - lengths
    return rows, lists.items[np.repeat(first - before, lengths) + np.arange(len(rows))].astype(np.int64)


def _counts(mask):
    return np.array([np.count_nonzero(row) for row in mask])  # row by row: several times as fast as with an axis


def check_parts(name, parts, allowed):
    """Raises ValueError unless all of `parts` are names of parts; returns them as a tuple."""
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    if set(parts) - set(allowed) or len(set(parts)) < len(parts):
        raise ValueError(f"`{name}` must name parts of {', '.join(allowed)}, each once. Received: {name}={parts}")
    return parts


def check_lengths(k, most, what):
    """`k`, one or several lengths of lists, as a rising tuple; raises ValueError unless they are from 1 to `most`."""
    lengths = tuple(np.unique(np.atleast_1d(k)).tolist())
    if not lengths or any(isinstance(length, bool) or not isinstance(length, int) for length in lengths):
        raise ValueError(f"`k` must be a whole number or several. Received: k={k!r}")
    if lengths[0] < 1:
        raise ValueError(f"`k` must be at least 1. Received: k={lengths[0]}")
    if lengths[-1] > most:
        raise ValueError(f"`k` must be at most the {what}, {most}. Received: k={lengths[-1]}")
    return lengths
