"""Encoded interactions: everything a model or an exporter needs, in arrays."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from tfdistill.data.fields import Field, check_choice
from tfdistill.data.values import with_unknown

PARTS = ("train", "validation", "test")


@dataclass(eq=False)
class Dataset:
    """Interactions as indices, with the features of users and items in tables that interactions point into.

    Made by `encode`. A *row* of the user table is a user: row 0 is the unknown user, rows 1 to size-1 are the users of the
    training part in the order of their vocabulary, rows from `size` on are users met only outside it. A model sees these
    last as index 0, while their features (and groupings by user) stay their own. Items likewise.

    Attributes:
        fields: user first, item second, then user, item and context features.
        user_row, item_row: int32 [n], rows of the user and the item table.
        label: float32 [n] of 0 and 1.
        split: int8 [n], 0 train, 1 validation, 2 test.
        user_features, item_features: {name: table with a row per user or item, [rows] or [rows, length]}.
        context: {name: [n] or [n, length]}.
        vocabularies: {field: raw values of index 1, 2, ...; int64, float64 or unicode, sorted}; none for numeric fields.
        user_ids, item_ids: raw ids of the tables' rows (row 0: -1 or "").
        numeric: {field: (mean, standard deviation)} of the training rows.
        example_id: int64 [n], stable row numbers of the source.
        unseen: {field: rows of validation and test that hold a value which no training row has}.
        source: where the data came from.

    >>> dataset = encode(interactions, split(interactions, seed=1))
    >>> dataset.inputs(dataset.rows("validation"))["user"].dtype
    dtype('int32')
    """

    fields: tuple[Field, ...]
    user_row: np.ndarray
    item_row: np.ndarray
    label: np.ndarray
    split: np.ndarray
    user_features: dict
    item_features: dict
    context: dict
    vocabularies: dict
    user_ids: np.ndarray
    item_ids: np.ndarray
    numeric: dict
    example_id: np.ndarray
    unseen: dict
    source: str = "interactions"
    _raw: dict = field(default_factory=dict, repr=False)

    task: ClassVar[str] = "click-through"

    def __len__(self):
        return len(self.label)

    @property
    def user(self):
        """int32 [n], the user's index in the vocabulary; 0 for a user without a training row."""
        return _index(self.user_row, self.fields[0].size)

    @property
    def item(self):
        """int32 [n], the item's index in the vocabulary; 0 for an item without a training row."""
        return _index(self.item_row, self.fields[1].size)

    def rows(self, part):
        """int64 row numbers of "train", "validation" or "test"."""
        check_choice("part", part, PARTS)
        return np.flatnonzero(self.split == PARTS.index(part))

    def pairs(self, rows):
        """The three columns {user_row, item_row, context_row} that stand for the inputs of `rows`, each int32 [len(rows)].

        `pair_inputs(**pairs)` turns them into inputs, and so does `pair_expander` inside a tf.data pipeline.
        """
        rows = np.asarray(rows)
        return {"user_row": self.user_row[rows], "item_row": self.item_row[rows], "context_row": rows.astype(np.int32)}

    def inputs(self, rows):
        """{field name: array} of the given rows, as a model takes them."""
        return self.pair_inputs(**self.pairs(rows))

    def pair_inputs(self, user_row, item_row, context_row=None):
        """{field name: array} of any pairs of users and items, rated or not.

        Args:
            user_row, item_row: int [m], rows of the user and item tables (for a known user or item: its index).
            context_row: int [m], the interactions whose context the pairs take; needed only where there is context.
        """
        user, item = self.fields[:2]
        inputs = {user.name: _index(user_row, user.size), item.name: _index(item_row, item.size)}
        return inputs | self._features(user_row, item_row, context_row, self._tables())

    def raw_inputs(self, rows):
        """As `inputs`, with raw values: for a teacher that reads raw ids. Unknown is -1 or "", which also pads bags."""
        return self.raw_pair_inputs(**self.pairs(rows))

    def raw_pair_inputs(self, user_row, item_row, context_row=None):
        """As `pair_inputs`, with raw values."""
        user, item = self.fields[:2]
        inputs = {user.name: self.user_ids[np.asarray(user_row)], item.name: self.item_ids[np.asarray(item_row)]}
        return inputs | self._features(user_row, item_row, context_row, self._raw_tables())

    def tables(self, of):
        """{name: table} of the features of "user", "item" or "context"."""
        return {"user": self.user_features, "item": self.item_features, "context": self.context}[of]

    def summary(self):
        """Counts that describe the data, ready for JSON."""
        user, item = self.fields[:2]
        return {
            "rows": len(self),
            **{part: int((self.split == number).sum()) for number, part in enumerate(PARTS)},
            "users": user.size - 1,
            "items": item.size - 1,
            "positive_share": float(self.label.mean(dtype=np.float64)),
            "fields": [{"name": one.name, "kind": one.kind, "of": one.of, "size": one.size} for one in self.fields],
            "unseen": dict(self.unseen),
        }

    def save(self, path):
        """Writes the data set to one .npz file, atomically and without pickle; equal data gives equal bytes."""
        from tfdistill.data.storage import save

        save(self, path)

    @staticmethod
    def load(path):
        """Reads a data set written by `save`; a file that is damaged or not one raises a UserError."""
        from tfdistill.data.storage import load

        return load(path)

    def _tables(self):
        return {one.name: self.tables(one.of)[one.name] for one in self.fields[2:]}

    def _raw_tables(self):
        if not self._raw:
            for one in self.fields[2:]:
                table = self.tables(one.of)[one.name]
                if one.is_numeric:
                    mean, deviation = self.numeric[one.name]
                    self._raw[one.name] = (table * deviation + mean).astype(np.float32)
                else:
                    self._raw[one.name] = with_unknown(self.vocabularies[one.name])[table]
        return self._raw

    def _features(self, user_row, item_row, context_row, tables):
        if self.context and context_row is None:
            raise ValueError("Received no `context_row`, expected int [m]: the data set has context features.")
        rows = {"user": user_row, "item": item_row, "context": context_row}
        return {one.name: tables[one.name][np.asarray(rows[one.of])] for one in self.fields[2:]}


def _index(row, size):
    """Vocabulary index of a table row: rows past the vocabulary are unknown to a model."""
    row = np.asarray(row, np.int32)
    return np.where(row < size, row, np.int32(0))
