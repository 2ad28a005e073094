"""Drawing candidates from rankings, with NumPy, before an epoch."""

import numpy as np

# Rounds of drawing what was barred again, before what is left is looked up.
ROUNDS = 30


def best_of(ranking, pool, least, asker):
    """The first `pool` places of a teacher's ranking, or all that are stored: (items int32 [rows, k], scores [rows, k]).

    Raises:
        ValueError: where fewer than `least` are stored.
    """
    stored = ranking.items.shape[1]
    if stored < least:
        raise ValueError(
            f"{type(asker).__name__} needs rankings of at least {least} places. Received: k={stored}. Rank with a larger k."
        )
    return ranking.items[:, :pool], ranking.scores[:, :pool]


def draw_places(log_weights, count, random, rows=None):
    """Draws `count` different places of every row with p ∝ exp(log_weights): int64 [rows, count], rising.

    As one draw after the other without putting back: the least of exponential waiting times come first.

    Args:
        log_weights: [k] for all rows alike, or [rows, k]; -inf for places never to be drawn.
        count: how many, at most those that can be drawn.
        random: `numpy.random.Generator`.
        rows: how many rows, for weights [k].

    >>> draw_places(np.array([0.0, -np.inf, 0.0]), 2, np.random.default_rng(0), rows=1).tolist()
    [[0, 2]]
    """
    rows = len(log_weights) if rows is None else rows
    drawn = []
    for start in range(0, rows, 4096):  # bounds the memory of the waiting times
        some = log_weights if log_weights.ndim == 1 else log_weights[start : start + 4096]
        shape = (min(4096, rows - start), log_weights.shape[-1])
        waiting = np.log(random.standard_exponential(shape)) - some
        drawn.append(np.sort(np.argpartition(waiting, count - 1, axis=1)[:, :count], axis=1))
    return np.concatenate(drawn)


def by_rank(places, scale):
    """Log weights of places 1, 2, ...: -rank / scale."""
    return -np.arange(1, places + 1) / scale


class Others:
    """Draws what is neither chosen in training nor among a teacher's best, all alike.

    Args:
        context: `RankingContext`.
        side: "user", for items of every user, or "item", for users of every item.
        best: int32 [rows, k], the teacher's best, to be left out too; `None` for none.
    """

    def __init__(self, context, side, best=None):
        self._side, self._rows, self._choices = side, context.rows(side), context.choices(side)
        pairs = context.dataset.pairs["train"].astype(np.int64)
        row, choice = (pairs[:, 0], pairs[:, 1]) if side == "user" else (pairs[:, 1], pairs[:, 0])
        keys = row * self._choices + choice
        if best is not None:
            keys = np.concatenate([keys, (np.arange(self._rows)[:, None] * self._choices + best).ravel()])
        keys.sort()  # np.unique takes ten times as long for as many
        self._barred = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
        self._left = self._choices - np.bincount(self._barred // self._choices, minlength=self._rows)

    def draw(self, count, random, different=True):
        """int32 [rows, count].

        Args:
            count: how many a row.
            random: `numpy.random.Generator`.
            different: whether no candidate comes twice in a row.

        Raises:
            ValueError: for a row that has fewer left.
        """
        if self._left.min() < (count if different else 1):
            row = int(self._left.argmin())
            raise ValueError(
                f"{self._side} {row} has {self._left[row]} candidates left that are neither training pairs nor among the "
                f"teacher's best, fewer than the {count} to draw. Draw fewer, or from a smaller pool."
            )
        drawn = random.integers(self._choices, size=(self._rows, count), dtype=np.int32)
        rows = np.arange(self._rows)
        for _ in range(ROUNDS):
            wrong = self._is_barred(rows, drawn[rows])
            if different:
                wrong |= _repeats(drawn[rows])
            unfinished = wrong.any(axis=1)
            rows, wrong = rows[unfinished], wrong[unfinished]
            if not len(rows):
                return drawn
            row, place = np.nonzero(wrong)
            drawn[rows[row], place] = random.integers(self._choices, size=len(row), dtype=np.int32)
        for row in rows:  # so little is left of these that chance does not find it
            barred = self._barred[
                slice(*np.searchsorted(self._barred, [row * self._choices, (row + 1) * self._choices]))
            ]
            free = np.setdiff1d(np.arange(self._choices), barred % self._choices, assume_unique=True)
            drawn[row] = random.choice(free, count, replace=not different)
        return drawn

    def _is_barred(self, rows, drawn):
        keys = rows[:, None] * self._choices + drawn
        places = np.minimum(np.searchsorted(self._barred, keys), len(self._barred) - 1)
        return self._barred[places] == keys


class OthersOfLast:
    """Makes `Others` when first asked, and again only for another data set, side or ranking: sorting takes seconds."""

    def __init__(self):
        self._of, self._others = None, None

    def __call__(self, context, side, ranking=None, pool=None):
        of = (context.dataset, side, ranking, pool)
        if self._of is None or any(one is not other for one, other in zip(of, self._of, strict=True)):
            best = None if ranking is None else ranking.items[:, :pool]
            self._of, self._others = of, Others(context, side, best)
        return self._others


def student_places(context, side, depth, asker, batch=512):
    """The student's ranking as it stands, in batches of rows: (rows, items [b, depth], places [b, choices]).

    Items are the student's best, training pairs left out, best first; places say where each of all choices stands from
    0, with `depth` for all that are further down.
    """
    scores = context.scores(side, asker)
    pairs = context.dataset.pairs["train"]
    row, choice = (pairs[:, 0], pairs[:, 1]) if side == "user" else (pairs[:, 1], pairs[:, 0])
    order = np.argsort(row, kind="stable")
    row, choice = row[order], choice[order]
    count = context.rows(side)
    depth = min(depth, context.choices(side))
    for start in range(0, count, batch):
        rows = np.arange(start, min(start + batch, count))
        some = np.array(scores(rows), np.float32)
        first, last = np.searchsorted(row, [start, start + len(rows)])
        some[row[first:last] - start, choice[first:last]] = -np.inf
        best = np.argpartition(-some, depth - 1, axis=1)[:, :depth]
        best = np.take_along_axis(
            best, np.argsort(-np.take_along_axis(some, best, axis=1), axis=1, kind="stable"), axis=1
        )
        places = np.full(some.shape, depth, np.int32)
        np.put_along_axis(places, best, np.arange(depth, dtype=np.int32)[None], axis=1)
        yield rows, best, places


def _repeats(rows):
    """bool, True where a number stands earlier in the same row."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return again
