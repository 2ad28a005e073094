"""Interactions as they were read: raw ids, labels and feature columns, before any encoding."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.data.fields import KINDS, OWNERS, check_choice
from tfdistill.data.values import counted, missing_cells
from tfdistill.errors import UserError

if TYPE_CHECKING:
    import pandas

MISSING = ("error", "unknown")
RESERVED_NAMES = ("user_row", "item_row", "context_row")


@dataclass(frozen=True)
class FeatureSpec:
    """A feature column and how to read it.

    Args:
        name: name of the model's input.
        of: what the feature belongs to, "user", "item" or "context" (the interaction).
        kind: "categorical", "bag" (several values a cell) or "numeric".
        column: the source's column, by default `name`.
        separator: what parts the values of a bag written as text.
        missing: "error" refuses an empty cell, "unknown" reads it as index 0, an empty bag or the mean.

    >>> FeatureSpec("genres", of="item", kind="bag", separator="|").source_column
    'genres'
    """

    name: str
    of: str
    kind: str
    column: str | None = None
    separator: str = "|"
    missing: str = "error"

    def __post_init__(self):
        check_choice("kind", self.kind, KINDS)
        check_choice("of", self.of, OWNERS)
        check_choice("missing", self.missing, MISSING)
        if not self.separator:
            raise ValueError(f"Received an empty `separator` for the feature {self.name!r}.")

    @property
    def source_column(self):
        """The column that the feature is read from."""
        return self.column or self.name


@dataclass(eq=False)
class Interactions:
    """Who met which item, and whether it was liked.

    Args:
        user: raw user ids, [n], integers or strings.
        item: raw item ids, [n].
        label: float32 [n] of 0 and 1.
        time: sortable numbers [n], or None.
        users: DataFrame indexed by raw user id, a column per user feature. Bag cells are lists.
        items: DataFrame indexed by raw item id, a column per item feature.
        context: DataFrame of n rows, a column per context feature.
        features: a `FeatureSpec` per feature column.
        source: where the data came from, for messages.
        example_id: int64 [n], a stable number of the row in the source; by default 0..n-1.
        user_name, item_name: names of the two id fields.
        time_scope: "global" where times of different users compare, "user" where they only order one user's own rows.

    Raises:
        UserError: on columns of different lengths, on labels other than 0 and 1, on a name that is used twice.

    >>> import numpy as np
    >>> Interactions(user=np.array([1, 2]), item=np.array(["a", "b"]), label=np.array([1, 0])).positive_share
    0.5
    """

    user: np.ndarray
    item: np.ndarray
    label: np.ndarray
    time: np.ndarray | None = None
    users: "pandas.DataFrame | None" = None
    items: "pandas.DataFrame | None" = None
    context: "pandas.DataFrame | None" = None
    features: tuple[FeatureSpec, ...] = ()
    source: str = "interactions"
    example_id: np.ndarray | None = field(default=None, repr=False)
    user_name: str = "user"
    item_name: str = "item"
    time_scope: str = "global"

    def __post_init__(self):
        check_choice("time_scope", self.time_scope, ("global", "user"))
        count = len(self.user)
        if self.example_id is None:
            self.example_id = np.arange(count, dtype=np.int64)
        self.label = np.asarray(self.label, np.float32)
        self.features = tuple(self.features)
        for name in ("item", "label", "time", "context", "example_id"):
            column = getattr(self, name)
            if column is not None and len(column) != count:
                raise UserError(
                    f"{self.source}: {count:,} users but {len(column):,} rows in `{name}`; pass equal lengths."
                )
        if not np.isin(self.label, (0, 1)).all():
            wrong = self.label[~np.isin(self.label, (0, 1))]
            raise UserError(
                f"{self.source}: {counted(len(wrong), 'label is', 'labels are')} neither 0 nor 1, e.g. {wrong[0]:g}."
            )
        self._check_names()

    def _check_names(self):
        taken = {self.user_name, *RESERVED_NAMES}
        for name in (self.item_name, *(spec.name for spec in self.features)):
            if name in taken:
                raise UserError(
                    f"{self.source}: the field name '{name}' is used twice or reserved; rename that feature."
                )
            taken.add(name)
        for spec in self.features:
            frame = self.frame(spec.of)
            if frame is None or spec.name not in frame.columns:
                raise UserError(f"{self.source}: no column '{spec.name}' in the {spec.of} features.")

    def __len__(self):
        return len(self.user)

    @property
    def positive_share(self):
        """Share of rows with label 1."""
        return float(self.label.mean())

    def frame(self, of):
        """The DataFrame that holds the features of "user", "item" or "context"."""
        return {"user": self.users, "item": self.items, "context": self.context}[of]


def refuse_missing(cells, spec, source, place):
    """Raises a UserError where a feature that must be there is not.

    Args:
        cells: the feature's column.
        spec: its `FeatureSpec`.
        source: name of the data.
        place: function from a position in `cells` to words for it, such as "line 7".
    """
    missing = missing_cells(cells)
    if spec.missing == "error" and missing.any():
        count, first = int(missing.sum()), int(missing.argmax())
        raise UserError(
            f"{source}: {counted(count, 'value is', 'values are')} missing in column '{spec.source_column}', "
            f"first at {place(first)}. "
            f"Fill the column, or set `missing: unknown` for the feature '{spec.name}'."
        )
