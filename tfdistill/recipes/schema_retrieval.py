"""A recipe of retrieval: every key that it may have, its type, its default and its bounds."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from tfdistill.recipes.schema_data import FOLD, FOLDS, Feature, Fold, FoldedSplit, Folds
from tfdistill.recipes.schema_job import Job, with_defaults, with_student_seeds
from tfdistill.recipes.schema_ranking_losses import AnyRankingLoss
from tfdistill.recipes.schema_steps import Steps
from tfdistill.recipes.schema_types import (
    Count,
    FilePath,
    Precision,
    Section,
    Share,
    Text,
    Widths,
    as_mapping,
    distinct,
    refuse,
)

SAMPLED_METRICS = ("hit_rate", "ndcg")
METRICS = ("recall", "ndcg", "hit_rate", "precision", "map")


class PairSplit(FoldedSplit):
    """How the pairs are divided into the three parts."""

    method: Literal["random", "user_ratio", "temporal", "leave_one_out", "k_fold"] = Field(
        "leave_one_out",
        description="leave_one_out: a user's last item tests, the one before validates; user_ratio: shares of each user's "
        "items; random and temporal: shares of all pairs; k_fold: cross-validation, every pair is tested once",
    )
    by: Literal["time", "random"] | None = Field(
        None, description="order of a user's items, for leave_one_out and user_ratio; null: time where there is one"
    )
    train: Share = Field(0.8, description="share to train on; not for leave_one_out")
    validation: Share = Field(0.1, description="share that chooses the best epoch")
    test: Share = Field(0.1, description="share that the reported numbers come from")
    folds: Folds = FOLDS
    fold: Fold = FOLD


class Pairs(Section):
    """Who chose what."""

    task: ClassVar[str] = "retrieval"

    split: PairSplit = Field(default_factory=PairSplit, description="train, validation and test parts")
    min_user_count: Count = Field(1, description="users with fewer items are left out")
    min_item_count: Count = Field(1, description="items with fewer users are left out")
    unseen: Literal["keep", "drop"] = Field(
        "keep",
        description="validation and test pairs whose item training never saw, which no model can know",
    )


class SyntheticPairs(Pairs):
    """The embedded data set: made on the spot from the seed, no download."""

    source: Literal["synthetic"] = Field(description="which data set")
    users: Annotated[int, Field(ge=2)] = Field(1000, description="number of users")
    items: Annotated[int, Field(ge=2)] = Field(500, description="number of items")
    interactions: Annotated[int, Field(ge=100)] = Field(
        50_000, description="number of ratings, of which some are liked"
    )


class Ratings(Pairs):
    """Ratings, each of which is a choice, or those from a number on."""

    min_rating: float | None = Field(None, description="ratings below are no choice; null: every rating is one")


class MovieLens1M(Ratings):
    """MovieLens-1M: ratings.dat, users.dat, movies.dat."""

    source: Literal["movielens_1m"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="folder with the files; null: downloaded once and cached")


class MovieLens100K(Ratings):
    """MovieLens-100K: u.data, u.user, u.item."""

    source: Literal["movielens_100k"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="folder with the files; null: has to be set to run")


class MovieLensCSV(Ratings):
    """MovieLens "latest" or 25M: ratings.csv, movies.csv."""

    source: Literal["movielens_csv"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="folder with the files; null: has to be set to run")


class SequenceFile(Pairs):
    """A text file with a user a line: user item item ..., in the order of time."""

    source: Literal["sequences"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="the file; null: has to be set to run")


class EdgeList(Pairs):
    """A text file with a pair a line: user item, and a time if there is one."""

    source: Literal["edges"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="the file; null: has to be set to run")
    separator: Text | None = Field(None, description="what stands between the columns; null: spaces or tabs")


class PairColumns(Section):
    """The headers of a table's columns by the role they play."""

    user: Text = Field(description="column of user ids")
    item: Text = Field(description="column of item ids")
    rating: Text | None = Field(None, description="column of numbers; with data.positive_above")
    time: Text | None = Field(None, description="column of times, for splits by time")


class PairTable(Pairs):
    """Your own data: a CSV, TSV or Parquet file with one row a choice."""

    source: Literal["table"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="the file; null: has to be set to run")
    columns: PairColumns = Field(description="which column is the user, the item, the rating, the time")
    positive_above: float | None = Field(
        None, description="a rating above this is a choice; needed with columns.rating"
    )
    features: dict[str, Feature] = Field({}, description="further columns, by name, for two_tower")

    @model_validator(mode="after")
    def _rating_is_clear(self):
        if (self.columns.rating is None) != (self.positive_above is None):
            raise refuse("positive_above", "goes with columns.rating: expected both or neither")
        for name, feature in self.features.items():
            if feature.of == "context":
                raise refuse(
                    f"features.{name}.of", "expected 'user' or 'item': a choice of an item has no context here"
                )
        return self


class SplitFile(Section):
    """A .npz with the arrays train, valid and test, int [n, 2] of (user, item): a split that is given."""

    task: ClassVar[str] = "retrieval"

    source: Literal["split"] = Field(description="which data set")
    path: FilePath | None = Field(None, description="the file; null: has to be set to run")


RetrievalData = Annotated[
    SyntheticPairs | MovieLens1M | MovieLens100K | MovieLensCSV | SequenceFile | EdgeList | PairTable | SplitFile,
    Field(discriminator="source"),
]


class BPRMF(Section):
    """Matrix factorisation: a vector for every user and every item."""

    kind: Literal["bpr_mf"] = Field(description="which model")
    embedding_width: Count = Field(64, description="columns of both tables")
    item_bias: bool = Field(False, description="one more coordinate of items, the same for all users")


class TwoTower(Section):
    """A tower of dense layers over the features of users, and one over those of items."""

    kind: Literal["two_tower"] = Field(description="which model")
    embedding_width: Count = Field(16, description="columns of every embedding table")
    hidden_units: Widths = Field((64,), description="widths of the dense layers of each tower")
    width: Count = Field(32, description="of the vectors")
    normalize: bool = Field(False, description="whether vectors have length 1")


class LightGCN(Section):
    """Matrix factorisation whose vectors are averaged over the graph of training pairs."""

    kind: Literal["light_gcn"] = Field(description="which model")
    embedding_width: Count = Field(64, description="columns of both tables")
    layers: Count = Field(3, description="steps over the graph")


class SASRec(Section):
    """Causal self-attention over the last items of a user."""

    kind: Literal["sas_rec"] = Field(description="which model")
    embedding_width: Count = Field(50, description="columns of the item table")
    max_length: Count = Field(50, description="items of a history that are read")
    blocks: Count = Field(2, description="layers of attention")
    heads: Count = Field(1, description="of each")


RetrievalModel = Annotated[BPRMF | TwoTower | LightGCN | SASRec, Field(discriminator="kind")]


class RetrievalTraining(Steps):
    """How a model is trained."""

    epochs: Count = Field(100, description="passes over the training pairs")
    batch_size: Count = Field(1024, description="pairs a step; of sas_rec, users with all their items")
    learning_rate_schedule: Literal["constant", "cosine"] = Field("constant", description="cosine: falls to 0")
    l2: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="weight of half the squared norm of all weights, added to the loss of a step, summed over its pairs",
    )
    base_loss: Literal["bpr", "pointwise", "in_batch_softmax", "full_softmax"] = Field(
        "bpr", description="what is learned of the pairs themselves"
    )
    negatives: Count = Field(1, description="items per pair that the user did not choose, for bpr and pointwise")
    negatives_from: Literal["uniform", "popularity", "teacher"] = Field(
        "uniform",
        description="how they are drawn, anew every epoch; teacher, in distill.train only: of its rankings.user first items",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of every hidden layer dropped")
    evaluate_every: Count = Field(10, description="epochs from one look at the validation part to the next")
    patience: Count | None = Field(
        None, description="epochs without a better look at the validation part after which training ends; null: none"
    )
    keep: Literal["best", "last"] = Field(
        "best", description="which epoch's weights: the best on validation, or the last"
    )


def _without_teacher(train):
    if train is not None and train.negatives_from == "teacher":
        raise refuse("train.negatives_from", "teacher is for distill.train only; there is no other teacher here")


class RetrievalTeacher(Section):
    """The model to learn from."""

    model: RetrievalModel | None = Field(None, description="the teacher to train; either this or load")
    train: RetrievalTraining | None = Field(None, description="how it is trained; only with model")
    load: FilePath | None = Field(None, description="a trained retrieval model, a .keras file; either this or model")
    precision: Precision | None = Field(
        None,
        description="what it computes in; null: of a loaded one what it was saved with",
        json_schema_extra={"shown_default": "float32, of a loaded one null"},
    )

    @model_validator(mode="before")
    @classmethod
    def _trains_with_defaults(cls, values):
        if not isinstance(values, dict) or values.get("model") is None:
            return values
        defaults = {"train": {}, "precision": "float32"}
        return values | {key: value for key, value in defaults.items() if values.get(key) is None}

    @model_validator(mode="after")
    def _one_way(self):
        if (self.model is None) == (self.load is None):
            received = "both" if self.model is not None else "neither"
            raise refuse("", f"expected either model (trained here) or load (a trained one), received {received}")
        if self.load is not None and self.train is not None:
            raise refuse("train", "only with model; a loaded teacher is not trained")
        _without_teacher(self.train)
        return self


class RetrievalStudent(Section):
    """The small model, and how it trains alone: the baseline that distillation has to beat."""

    model: RetrievalModel = Field(description="the student")
    train: RetrievalTraining = Field(default_factory=RetrievalTraining, description="how it is trained, alone")
    precision: Precision = Field(
        "float32", description="what it computes in while it is trained; files are exact to it"
    )

    @model_validator(mode="after")
    def _alone(self):
        _without_teacher(self.train)
        return self


class RetrievalDistill(Section):
    """How the student learns from the teacher, beside the pairs."""

    losses: Annotated[tuple[AnyRankingLoss, ...], Field(strict=False, min_length=1)] = Field(
        description="what student and teacher are compared by; their weighted sum is added to the base loss"
    )
    base_loss_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of the base loss")
    start: Literal["random", "teacher"] = Field(
        "random",
        description="where the student begins; teacher: at the truncated SVD of the teacher's vectors, for bpr_mf",
    )
    train: RetrievalTraining = Field(
        default_factory=RetrievalTraining, description="how it is trained; keys left out are those of student.train"
    )

    @property
    def sides(self):
        """The sides that losses, or negatives, want the teacher's rankings of: "user", "item"."""
        asked = {loss.side for loss in self.losses if hasattr(loss, "side")}
        return sorted(asked | ({"user"} if self.train.negatives_from == "teacher" else set()), reverse=True)


class Rankings(Section):
    """What the teacher ranks once: as many as stated, or as training leaves."""

    user: Count = Field(500, description="items ranked for each user")
    item: Count = Field(500, description="users ranked for each item, for losses with side: item")


RetrievalFormat = Literal[
    "saved_model",
    "tflite_float32",
    "tflite_float16",
    "tflite_dynamic_int8",
    "tflite_weight_only_int8",
    "tflite_int4",
]


class RetrievalExport(Section):
    """The files that a run makes of the students."""

    formats: Annotated[
        tuple[
            Literal[
                "saved_model",
                "tflite_float32",
                "tflite_float16",
                "tflite_dynamic_int8",
                "tflite_weight_only_int8",
                "tflite_int4",
            ],
            ...,
        ],
        Field(strict=False, min_length=1),
        AfterValidator(distinct),
    ] = Field(("saved_model", "tflite_float32", "tflite_dynamic_int8"), description="which files")
    k: Count = Field(100, description="items that a file answers with")


class RetrievalEvaluate(Section):
    """How the models and the files are measured."""

    metric: Annotated[
        str, Field(pattern=rf"^({'|'.join(METRICS)})@[1-9][0-9]*$"), f"{' or '.join(METRICS)}, and @k"
    ] = Field("recall@50", description="chooses the best epoch and stands first in the report")
    k: Annotated[tuple[Count, ...], Field(strict=False), AfterValidator(distinct)] = Field(
        (10, 50), description="lengths of the list that are reported"
    )
    sampled_negatives: Annotated[int, Field(ge=0)] = Field(
        0, description="ranks a test item among so many drawn ones instead of all, as some papers do; 0: among all"
    )
    exclude: Annotated[tuple[Literal["train", "validation"], ...], Field(strict=False), AfterValidator(distinct)] = (
        Field(("train", "validation"), description="parts whose items are not ranked in the test")
    )
    threads: Count = Field(1, description="threads of an artifact while it is timed")
    latency_runs: Count = Field(1000, description="timed calls for one user")

    @property
    def leading(self):
        """The metric under the name that it is reported by: "recall@50", "hit_rate@5 (1 + 499 sampled)"."""
        return f"{self.metric} (1 + {self.sampled_negatives} sampled)" if self.sampled_negatives else self.metric

    @model_validator(mode="after")
    def _sampled_has_these_metrics(self):
        if self.sampled_negatives and self.metric.partition("@")[0] not in SAMPLED_METRICS:
            told = f"expected {' or '.join(SAMPLED_METRICS)}, and @k, with sampled_negatives, received {self.metric!r}"
            raise refuse("metric", told)
        return self

    @property
    def lengths(self):
        """All k that are measured."""
        return tuple(sorted({*self.k, int(self.metric.partition("@")[2])}))

    def list_lengths(self, *most):
        """Those k that are no more than any of `most`."""
        return tuple(k for k in self.lengths if k <= min(most)) or (min(most),)


class RetrievalRecipe(Job):
    """A complete job of retrieval: pairs, teacher, student, distillation, files and measurements."""

    assistants: ClassVar[tuple] = ()
    compress: ClassVar[tuple] = ()

    task: Literal["retrieval"] = Field(description="what is learned: which items of all a user chooses next")
    data: RetrievalData = Field(description="what is learned from")
    teacher: RetrievalTeacher = Field(description="the model to learn from")
    rankings: Rankings = Field(default_factory=Rankings, description="what the teacher ranks once")
    student: RetrievalStudent = Field(description="the small model")
    distill: RetrievalDistill = Field(description="how the student learns from the teacher")
    export: RetrievalExport = Field(default_factory=RetrievalExport, description="the files made of the students")
    evaluate: RetrievalEvaluate = Field(default_factory=RetrievalEvaluate, description="how everything is measured")

    @model_validator(mode="before")
    @classmethod
    def _defaults_from_other_keys(cls, values):
        if not isinstance(values, dict):
            return values
        values = with_student_seeds(values)
        student, distill = (as_mapping(values.get(key)) for key in ("student", "distill"))
        if student is not None and distill is not None:
            values["distill"] = with_defaults(distill, {"train": as_mapping(student.get("train", {})) or {}})
        return values
