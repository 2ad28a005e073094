"""Who chose what, in three parts, for models that are to find the next items among all."""

from dataclasses import dataclass, field

import numpy as np

from tfdistill.data.fields import Field
from tfdistill.errors import UserError

PARTS = ("train", "validation", "test")


@dataclass(eq=False)
class ImplicitDataset:
    """Pairs of a user and an item that the user chose, numbered from 0, split into training, validation and test.

    Args:
        users, items: how many there are; pairs hold numbers from 0 up to these.
        pairs: {"train", "validation", "test"} -> int32 [n, 2] of (user, item). Those of a user stand in the order of time,
            where there is one. A pair may occur once in all parts taken together.
        user_fields, item_fields: a `Field` per feature, in the order in which models join them.
        user_features, item_features: {field name: array [users, ...] or [items, ...]}, as `Field` says.
        user_ids, item_ids: raw ids [users], [items]; `None` where the numbers are the ids.
        is_ordered: whether the order of a user's pairs is that of time.
        vocabularies: {field: raw values of index 1, 2, ...}; none for numeric fields.
        numeric: {field: (mean, standard deviation)} of the users or items with a training pair, weighted by their pairs.
        dropped: {why: how many rows were left out}.
        source: where the data came from, for messages.

    Raises:
        UserError: for numbers out of range, a pair that occurs twice, an empty training part.

    >>> data = ImplicitDataset(2, 3, {"train": [[0, 1], [1, 2]], "validation": [], "test": [[0, 2]]})
    >>> data.lists("train").of(0)
    array([1], dtype=int32)
    """

    users: int
    items: int
    pairs: dict[str, np.ndarray]
    user_fields: tuple[Field, ...] = ()
    item_fields: tuple[Field, ...] = ()
    user_features: dict[str, np.ndarray] = field(default_factory=dict)
    item_features: dict[str, np.ndarray] = field(default_factory=dict)
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    is_ordered: bool = False
    vocabularies: dict[str, np.ndarray] = field(default_factory=dict)
    numeric: dict[str, tuple[float, float]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    source: str = "interactions"

    def __post_init__(self):
        self.pairs = {part: np.asarray(self.pairs[part], np.int32).reshape(-1, 2) for part in PARTS}
        for part, pairs in self.pairs.items():
            for column, what, count in ((0, "user", self.users), (1, "item", self.items)):
                outside = (pairs[:, column] < 0) | (pairs[:, column] >= count)
                if outside.any():
                    raise UserError(
                        f"{self.source}: the {part} part has the {what} {pairs[outside][0, column]}, expected 0 to {count - 1}."
                    )
        if not len(self.pairs["train"]):
            raise UserError(f"{self.source}: no pair to train on.")
        pairs = np.concatenate(list(self.pairs.values())).astype(np.int64)
        numbers, counts = np.unique(pairs[:, 0] * self.items + pairs[:, 1], return_counts=True)
        if (counts > 1).any():
            user, item = divmod(int(numbers[counts > 1][0]), self.items)
            raise UserError(
                f"{self.source}: {np.count_nonzero(counts > 1):,} pairs occur more than once, such as user {user} and item"
                f" {item}. Keep one of each."
            )

    def lists(self, *parts):
        """The items of every user in some parts, in the order of the pairs: `ItemLists`."""
        pairs = np.concatenate([self.pairs[part] for part in parts])
        order = np.argsort(pairs[:, 0], kind="stable")
        counts = np.bincount(pairs[:, 0], minlength=self.users)
        return ItemLists(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), pairs[order, 1])

    def item_counts(self, part="train"):
        """How often each item was chosen in a part: int64 [items]."""
        return np.bincount(self.pairs[part][:, 1], minlength=self.items)

    def unseen(self, part):
        """How many pairs of a part have a user, and how many an item, that no training pair has: (int, int)."""
        counts = []
        for column, count in ((0, self.users), (1, self.items)):
            seen = np.bincount(self.pairs["train"][:, column], minlength=count) > 0
            counts.append(int((~seen[self.pairs[part][:, column]]).sum()))
        return tuple(counts)

    def summary(self):
        """Counts that describe the data, ready for JSON."""
        unseen = {part: self.unseen(part) for part in PARTS[1:]}
        return {
            "users": self.users,
            "items": self.items,
            **{part: len(pairs) for part, pairs in self.pairs.items()},
            "density": sum(map(len, self.pairs.values())) / (self.users * self.items),
            "pairs_of_unseen_users": {part: users for part, (users, _) in unseen.items()},
            "pairs_of_unseen_items": {part: items for part, (_, items) in unseen.items()},
            "fields": [
                {"name": one.name, "kind": one.kind, "of": one.of, "size": one.size}
                for one in (*self.user_fields, *self.item_fields)
            ],
            "dropped": dict(self.dropped),
        }

    def save(self, path):
        """Writes the data set to `path` (.npz), atomically."""
        from tfdistill.data.storage import save_implicit

        save_implicit(self, path)

    @staticmethod
    def load(path):
        """Reads a data set that `save` wrote; raises UserError where the file is missing, damaged or of another kind."""
        from tfdistill.data.storage import load_implicit

        return load_implicit(path)


@dataclass(frozen=True, eq=False)
class ItemLists:
    """Items by user, one list after the other: those of user u are `items[offsets[u]:offsets[u + 1]]`.

    Attributes:
        offsets: int64 [users + 1].
        items: int32 [n].
    """

    offsets: np.ndarray
    items: np.ndarray

    def of(self, user):
        """The items of one user: int32 [k]."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    @property
    def lengths(self):
        """How many items each user has: int64 [users]."""
        return np.diff(self.offsets)

    @property
    def users(self):
        """The user of every entry of `items`: int64 [n]."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)
