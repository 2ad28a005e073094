"""A teacher's best items of every user, or best users of every item: ranked once, kept in a file."""

import dataclasses
from pathlib import Path

import numpy as np

from tfdistill._scores import ScoreBatches, check_parts
from tfdistill.data.implicit import PARTS, ItemLists
from tfdistill.errors import UserError
from tfdistill.soft_targets import rankings_file
from tfdistill.soft_targets.array_fingerprint import split_fingerprint, vectors_fingerprint
from tfdistill.soft_targets.fingerprint import teacher_fingerprint

SIDES = ("user", "item")


@dataclasses.dataclass(frozen=True, eq=False)
class Rankings:
    """The best k items of every user by a teacher, best first. Made by `rank_items`, `rank_users` and `Rankings.load`.

    Every row is full, without padding: a k that would leave places empty is refused.

    Attributes:
        items: int32 [users, k]. Of `rank_users`: int32 [items, k], numbers of users.
        scores: float32 of the same shape, the teacher's, falling.
        side: "user" for items of every user, "item" for users of every item.
        exclude: the parts whose pairs were left out.
        split: `split_fingerprint` of the data; `None` where unknown.
        teacher: the teacher's fingerprint; `None` where unknown.
    """

    items: np.ndarray
    scores: np.ndarray
    side: str = "user"
    exclude: tuple = ("train",)
    split: str | None = None
    teacher: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "items", np.ascontiguousarray(self.items, np.int32))
        object.__setattr__(self, "scores", np.ascontiguousarray(self.scores, np.float32))
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise ValueError(
                "`items` and `scores` must have one shape [rows, k]. Received:"
                f" {self.items.shape} and {self.scores.shape}"
            )
        if self.side not in SIDES:
            raise ValueError(f"`side` must be one of {SIDES}. Received: side={self.side!r}")

    def __len__(self):
        """The number of rows: users, or items."""
        return len(self.items)

    @property
    def k(self):
        """The length of a row."""
        return self.items.shape[1]

    def top(self, k):
        """The best k of each row alone: `Rankings`."""
        if not 1 <= k <= self.k:
            raise ValueError(f"`k` must be from 1 to what is stored, {self.k}. Received: k={k}")
        return dataclasses.replace(self, items=self.items[:, :k], scores=self.scores[:, :k])

    def save(self, path):
        """Writes a .npz file, atomically, with checksums; one that is there is replaced."""
        described = {"side": self.side, "exclude": list(self.exclude), "split": self.split, "teacher": self.teacher}
        rankings_file.write(path, {"items": self.items, "scores": self.scores}, described)

    @classmethod
    def load(cls, path, *, dataset=None, teacher=None, fingerprint=None):
        """Reads what `save` wrote.

        Args:
            path: the file.
            dataset: the `ImplicitDataset` whose split it must have been made for; `None` to take any.
            teacher: the teacher that must have made it, as `rank_items` takes it; `None` to take any.
            fingerprint: its fingerprint instead.

        Raises:
            UserError: where there is no such file, for one that is damaged or of another kind, and for rankings of another
                split or of another teacher.
            ValueError: for a teacher together with a fingerprint.
        """
        if teacher is not None and fingerprint is not None:
            raise ValueError("Pass `teacher` or `fingerprint`, not both.")
        arrays, described = rankings_file.read(path)
        rankings = cls(**arrays, **described | {"exclude": tuple(described["exclude"])})
        if dataset is not None:
            asked = split_fingerprint(dataset)
            if rankings.split != asked:
                raise UserError(
                    f"The rankings in '{path}' were made for another split: its fingerprint is {_short(rankings.split)}, that"
                    f" of {dataset.source} {_short(asked)}. Rank again for this split, in another file or after deleting this"
                    " one."
                )
        if teacher is not None:
            fingerprint = ranker_fingerprint(teacher)
        if fingerprint is not None and rankings.teacher != fingerprint:
            raise UserError(
                f"The rankings in '{path}' are those of another teacher: its fingerprint is {_short(rankings.teacher)}, that"
                f" of this teacher {_short(fingerprint)}. Rank again with this teacher, in another file or after deleting"
                " this one."
            )
        return rankings


def rank_items(
    score, dataset, k, exclude=("train",), *, teacher=None, fingerprint=None, batch_size=None, progress=None
):
    """Has a teacher rank all items for every user and keeps the best k, without the user's own in the parts of `exclude`.

    Of items with equal scores the lower number comes first.

    Args:
        score: users int32 [b] -> numbers [b, items], such as `tfdistill.evaluation.dot_scores(user_vectors, item_vectors)`.
        dataset: `ImplicitDataset`.
        k: how many.
        exclude: parts whose pairs are left out.
        teacher: whose scores these are: a model or a path, as `teacher_fingerprint` takes it, or anything with arrays `user`
            and `item`, its vectors. `None` for `score` itself, if it has a fingerprint as `dot_scores` has.
        fingerprint: a text that stands for the teacher instead. With none of these the teacher is unknown.
        batch_size: users at a time; `None` for about eight million scores.
        progress: called as (users done, users in all) after every batch.

    Returns: `Rankings`.

    Raises:
        ValueError: for a k below 1 or above the number of items, for parts that are none, for scores of another shape.
        UserError: for scores that are NaN or infinite, and for a user with fewer than k items left.

    >>> data = ImplicitDataset(2, 3, {"train": [[0, 0], [1, 2]], "validation": [], "test": []})
    >>> rank_items(dot_scores([[1.0], [-1.0]], [[9.0], [2.0], [4.0]]), data, k=2).items.tolist()
    [[2, 1], [1, 0]]
    """
    exclude = check_parts("exclude", exclude, PARTS)
    lists = dataset.lists(*exclude) if exclude else None
    return _rank(score, dataset, k, "user", lists, exclude, teacher, fingerprint, batch_size, progress)


def rank_users(
    score, dataset, k, exclude=("train",), *, teacher=None, fingerprint=None, batch_size=None, progress=None
):
    """The other way round: the best k users of every item, without those who have it in the parts of `exclude`.

    Args:
        score: items int32 [b] -> numbers [b, users], such as `dot_scores(user_vectors, item_vectors).swapped()`.
        dataset, k, exclude, teacher, fingerprint, batch_size, progress: as of `rank_items`.

    Returns: `Rankings` whose `items` are int32 [items, k], numbers of users.

    Raises: as `rank_items`.

    >>> data = ImplicitDataset(2, 3, {"train": [[0, 0], [1, 2]], "validation": [], "test": []})
    >>> rank_users(dot_scores([[1.0], [-1.0]], [[9.0], [2.0], [4.0]]).swapped(), data, k=1).items.tolist()
    [[1], [0], [0]]
    """
    exclude = check_parts("exclude", exclude, PARTS)
    lists = _users_by_item(dataset, exclude) if exclude else None
    return _rank(score, dataset, k, "item", lists, exclude, teacher, fingerprint, batch_size, progress)


def write_rankings(
    path, score, dataset, k, exclude=("train",), *, side="user", teacher=None, fingerprint=None, **options
):
    """Ranks and saves, or reads what an earlier call saved: a teacher ranks a split once.

    Args:
        path: the file.
        score, dataset, k, exclude, teacher, fingerprint: as of `rank_items`; with `side="item"` as of `rank_users`. The
            teacher must be known by one of the three ways.
        side: "user" or "item".
        **options: `batch_size` and `progress`.

    Returns: `Rankings`. Where more than k are saved, the best k of them.

    Raises:
        UserError: for a file of another split or teacher, or made with fewer than k places, another `side` or `exclude`; and
            as `rank_items`.
        ValueError: for a teacher that is not known.
    """
    if side not in SIDES:
        raise ValueError(f"`side` must be one of {SIDES}. Received: side={side!r}")
    if fingerprint is None:
        fingerprint = ranker_fingerprint(score if teacher is None else teacher)
    elif teacher is not None:
        raise ValueError("Pass `teacher` or `fingerprint`, not both.")
    exclude = check_parts("exclude", exclude, PARTS)
    if not Path(path).exists():
        rank = {"user": rank_items, "item": rank_users}[side]
        rankings = rank(score, dataset, k, exclude, fingerprint=fingerprint, **options)
        rankings.save(path)
        return rankings
    rankings = Rankings.load(path, dataset=dataset, fingerprint=fingerprint)
    asked, stored = (side, sorted(exclude)), (rankings.side, sorted(rankings.exclude))
    if asked != stored or k > rankings.k:
        raise UserError(
            f"The rankings in '{path}' hold {rankings.k} places by {stored[0]} without {stored[1]}, asked for are {k} by"
            f" {asked[0]} without {asked[1]}. Choose another file, or delete this one to rank again."
        )
    return rankings.top(k)


def ranker_fingerprint(teacher):
    """`teacher_fingerprint`, and for anything with arrays `user` and `item` that of these vectors."""
    if not hasattr(teacher, "fingerprint") and hasattr(teacher, "user") and hasattr(teacher, "item"):
        return vectors_fingerprint(teacher.user, teacher.item)
    return teacher_fingerprint(teacher)


def _rank(score, dataset, k, side, excluded, exclude, teacher, fingerprint, batch_size, progress):
    rows, columns = (dataset.users, dataset.items) if side == "user" else (dataset.items, dataset.users)
    of, what = ("user", "item") if side == "user" else ("item", "user")
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= columns:
        raise ValueError(f"`k` must be a whole number from 1 to the number of {what}s, {columns}. Received: k={k!r}")
    taken = np.zeros(rows, np.int64) if excluded is None else excluded.lengths
    if columns - taken.max() < k:
        raise UserError(
            f"{dataset.source}: {of} {taken.argmax()} has {columns - taken.max()} {what}s left once those of"
            f" {', '.join(exclude)} are out, fewer than k={k}. Choose a k of at most that."
        )
    if teacher is not None and fingerprint is not None:
        raise ValueError("Pass `teacher` or `fingerprint`, not both.")
    if teacher is None and fingerprint is None and hasattr(score, "fingerprint"):
        teacher = score
    if teacher is not None:
        fingerprint = ranker_fingerprint(teacher)
    items, scores = np.empty((rows, k), np.int32), np.empty((rows, k), np.float32)
    for batch in ScoreBatches(score, np.arange(rows), columns, k, excluded, batch_size, progress, (of, what)):
        places = batch.places()
        first = places.place < k
        row, column = places.row[first], places.column[first]
        items[batch.users] = column.reshape(-1, k)
        scores[batch.users] = batch.scores[row, column].reshape(-1, k)
    return Rankings(items, scores, side, exclude, split_fingerprint(dataset), fingerprint)


def _users_by_item(dataset, parts):
    pairs = np.concatenate([dataset.pairs[part] for part in parts])
    counts = np.bincount(pairs[:, 1], minlength=dataset.items)
    order = np.argsort(pairs[:, 1], kind="stable")
    return ItemLists(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), pairs[order, 0])


def _short(fingerprint):
    if fingerprint is None:
        return "unknown"
    return repr(fingerprint if len(fingerprint) <= 40 else f"{fingerprint[:12]}...")
