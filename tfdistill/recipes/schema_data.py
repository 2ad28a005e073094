"""The `data` section of a recipe: where interactions, or images, come from and how they are divided."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tfdistill.names import is_field_name
from tfdistill.recipes.schema_types import Count, FilePath, Numbers, Section, Share, Text, refuse

COLUMN_ROLES = ("user", "item", "label", "rating", "time")
RESERVED_FEATURES = ("teacher_logits",)  # travels beside the features as a column of its own


Folds = Annotated[int, Field(ge=3)] | None
Fold = Annotated[int, Field(ge=0)] | None
FOLDS = Field(
    None, description="piles that each user's rows are dealt to, for k_fold", json_schema_extra={"shown_default": "5"}
)
FOLD = Field(
    None, description="which pile tests, from 0, the next one validates; null: each in turn, in a run of its own"
)


class FoldedSplit(Section):
    """A split into shares, or of cross-validation: it has `method`, `train`, `validation`, `test`, `folds` and `fold`."""

    @model_validator(mode="before")
    @classmethod
    def _five_folds(cls, values):
        if isinstance(values, dict) and values.get("method") == "k_fold" and values.get("folds") is None:
            return {**values, "folds": 5}
        return values

    @model_validator(mode="after")
    def _adds_up(self):
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            parts = f"train {self.train:g} + validation {self.validation:g} + test {self.test:g}"
            raise refuse("", f"expected shares that sum to 1, received {parts} = {total:g}")
        return self

    @model_validator(mode="after")
    def _folds_fit(self):
        for key in ("folds", "fold"):
            if self.method != "k_fold" and getattr(self, key) is not None:
                raise refuse(key, f"only with method 'k_fold', this method is {self.method!r}. Remove it")
        if self.fold is not None and self.fold >= self.folds:
            raise refuse("fold", f"expected a number below folds ({self.folds}), received {self.fold}")
        return self

    @property
    def is_repeated(self):
        """Whether the recipe stands for a run of every fold."""
        return self.method == "k_fold" and self.fold is None


class Split(FoldedSplit):
    """How the interactions are divided into the three parts."""

    method: Literal["random", "temporal", "k_fold"] = Field(
        "random",
        description="random: any row anywhere; temporal: the newest rows are the test part; k_fold: cross-validation, each "
        "row is tested once",
    )
    train: Share = Field(0.8, description="share of rows to train on")
    validation: Share = Field(0.1, description="share of rows that choose the best epoch")
    test: Share = Field(0.1, description="share of rows that the reported numbers come from")
    folds: Folds = FOLDS
    fold: Fold = FOLD


SPLIT = Field(default_factory=Split, description="train, validation and test parts")
UNSEEN = Field("unknown", description="ids that training never saw: take row 0 of their table, or stop with an error")


class Interactions(Section):
    """Who met what, for the task of telling what is liked."""

    task: ClassVar[str] = "click-through"


class SyntheticData(Interactions):
    """The embedded data set: made on the spot from the seed, no download."""

    source: Literal["synthetic"] = Field(description="which data set")
    users: Annotated[int, Field(ge=2)] = Field(3000, description="number of users")
    items: Annotated[int, Field(ge=2)] = Field(1500, description="number of items")
    interactions: Annotated[int, Field(ge=100)] = Field(200_000, description="number of rows")
    split: Split = SPLIT
    unseen: Literal["unknown", "error"] = UNSEEN

    @model_validator(mode="after")
    def _pairs_and_users_suffice(self):
        if self.interactions > self.users * self.items:
            pairs = f"{self.users} users x {self.items} items = {self.users * self.items} pairs"
            raise refuse("interactions", f"expected at most one row a pair ({pairs}), received {self.interactions}")
        if self.interactions < self.users:
            raise refuse(
                "interactions", f"expected at least one row a user ({self.users}), received {self.interactions}"
            )
        return self


class MovieLensData(Interactions):
    """MovieLens 1M: a rating of 4 or 5 is a positive, 1 or 2 a negative, 3 is left out."""

    source: Literal["movielens_1m"] = Field(description="which data set")
    path: FilePath | None = Field(
        None, description="folder with ratings.dat, users.dat and movies.dat; null: downloaded once and cached"
    )
    split: Split = SPLIT
    unseen: Literal["unknown", "error"] = UNSEEN


class Columns(Section):
    """The headers of a table's columns by the role they play."""

    user: Text = Field(description="column of user ids")
    item: Text = Field(description="column of item ids")
    label: Text | None = Field(None, description="column of 0 and 1; either this or rating")
    rating: Text | None = Field(None, description="column of numbers, made 0 or 1 by data.positive_above")
    time: Text | None = Field(None, description="column of times, for a temporal split")

    @model_validator(mode="after")
    def _one_target(self):
        if self.label is not None and self.rating is not None:
            raise refuse("rating", "expected either label or rating, received both. Remove one of them")
        if self.label is None and self.rating is None:
            raise refuse(
                "", "expected either label (a column of 0 and 1) or rating (a column of numbers), received neither"
            )
        taken = {}
        for role, column in self.by_role().items():
            if column in taken:
                raise refuse(role, f"column {column!r} is already the {taken[column]} column")
            taken[column] = role
        return self

    def by_role(self):
        """Returns {role: column} of the roles that are given."""
        return {role: getattr(self, role) for role in COLUMN_ROLES if getattr(self, role) is not None}


class Feature(Section):
    """One more column of a table that the models read."""

    of: Literal["user", "item", "context"] = Field(description="what it describes; context: the row itself")
    kind: Literal["categorical", "bag", "numeric"] = Field(
        description="categorical: one value; bag: several, joined by the separator; numeric: a number, standardised"
    )
    column: Text | None = Field(None, description="header of the column; null: the feature's name")
    separator: Text = Field("|", description="what stands between the values of a bag")
    missing: Literal["error", "unknown"] = Field(
        "error", description="empty cells: stop with an error, or take them as unknown"
    )


class TableData(Interactions):
    """Your own interactions: a CSV, TSV or Parquet file with one row an interaction."""

    source: Literal["table"] = Field(description="which data set")
    path: FilePath = Field(description="the file: .csv, .tsv (also .gz) or .parquet")
    columns: Columns = Field(description="which column is the user, the item, the label or rating, the time")
    positive_above: float | None = Field(None, description="a rating above this is a positive; needed with rating")
    drop_ratings: Numbers = Field((), description="ratings whose rows are left out")
    features: dict[str, Feature] = Field({}, description="further columns to learn from, by name")
    split: Split = SPLIT
    unseen: Literal["unknown", "error"] = UNSEEN

    @model_validator(mode="after")
    def _target_is_clear(self):
        if self.columns.rating is not None and self.positive_above is None:
            raise refuse(
                "positive_above", "missing: a rating column needs the number above which a rating is a positive"
            )
        for key in ("positive_above", "drop_ratings"):
            if self.columns.label is not None and getattr(self, key) not in (None, ()):
                raise refuse(key, f"only with columns.rating; this recipe has columns.label ({self.columns.label!r})")
        if self.split.method == "temporal" and self.columns.time is None:
            raise refuse("split.method", "'temporal' needs data.columns.time, the column of times")
        return self

    @model_validator(mode="after")
    def _features_stand_apart(self):
        by_column = {column: role for role, column in self.columns.by_role().items()}
        for name, feature in self.features.items():
            key = f"features.{name}"
            if not is_field_name(name):
                advice = "Give the file's header as its `column`"
                expected = "a name of letters, digits and underscores, a letter first and no word of Python's"
                raise refuse(key, f"expected {expected}, received {name!r}. {advice}")
            if name in COLUMN_ROLES or name in RESERVED_FEATURES or name in by_column:
                role = by_column.get(name, name)
                reason = "a name that is kept for the models" if name in RESERVED_FEATURES else f"the {role} column"
                raise refuse(key, f"{name!r} is already {reason}. Call the feature something else")
            column = feature.column or name
            if by_column.get(column, "time") != "time":
                raise refuse(f"{key}.column", f"column {column!r} is already the {by_column[column]} column")
        return self


class ImageSplit(Section):
    """How the official training part is divided; the official test part is the test part."""

    train: Share = Field(0.9, description="share of the training images to train on")
    validation: Share = Field(0.1, description="share of the training images that choose the best epoch")

    @model_validator(mode="after")
    def _adds_up(self):
        total = self.train + self.validation
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            parts = f"train {self.train:g} + validation {self.validation:g} = {total:g}"
            raise refuse("", f"expected shares that sum to 1, received {parts}")
        return self


class MnistData(Section):
    """MNIST: images of handwritten digits, whose class is to be told."""

    task: ClassVar[str] = "classification"

    source: Literal["mnist"] = Field(description="which data set")
    path: FilePath | None = Field(
        None, description="folder with the four idx .gz files, or with mnist.npz; null: downloaded once and cached"
    )
    labelled: Count | None = Field(
        None,
        description="training images whose label teacher and students may see; the others are what soft_targets.unrated_ratio "
        "draws from; null: all",
    )
    split: ImageSplit = Field(
        default_factory=ImageSplit, description="train and validation part of the training images"
    )


Data = Annotated[SyntheticData | MovieLensData | TableData | MnistData, Field(discriminator="source")]
