"""The recipe: every key that a recipe file may have, its type, its default and its bounds."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from tfdistill.recipes.schema_data import Data
from tfdistill.recipes.schema_types import (
    Count,
    FilePath,
    RecipeName,
    Section,
    Seed,
    Seeds,
    Text,
    Widths,
    as_mapping,
    distinct,
    refuse,
)


class MLP(Section):
    """Embeddings, dense layers, one logit."""

    kind: Literal["mlp"] = Field(description="which model")
    embedding_width: Count = Field(8, description="columns of every embedding table")
    hidden_units: Widths = Field((64, 32), description="widths of the dense layers")


class DCNV2(Section):
    """Deep & Cross Network, version 2: explicit crosses of features beside dense layers."""

    kind: Literal["dcn_v2"] = Field(description="which model")
    embedding_width: Count = Field(32, description="columns of every embedding table")
    cross_layers: Count = Field(3, description="number of crosses")
    hidden_units: Widths = Field((256, 128), description="widths of the dense layers")


Model = Annotated[MLP | DCNV2, Field(discriminator="kind")]


class Training(Section):
    """How a model is trained; the epoch with the best validation AUC is kept."""

    epochs: Count = Field(10, description="passes over the training part")
    batch_size: Count = Field(2048, description="rows a step")
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.001, description="Adam's step size")
    learning_rate_schedule: Literal["constant", "cosine"] = Field("cosine", description="cosine: falls to 0")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of every hidden layer dropped")
    embedding_l2: Annotated[float, Field(ge=0)] = Field(0.0, description="weight of the squared norm of looked-up rows")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="decoupled decay of all weights, a step")


class LabelTraining(Training):
    """How a model is trained on hard labels, with one more task beside them if wanted."""

    exposure_weight: Annotated[float, Field(ge=0)] = Field(
        0.0, description="weight of a second task in training, telling rated pairs from unrated ones; 0: none"
    )


class Teacher(Section):
    """The model to learn from: trained here (model, train), or one that you have (load)."""

    model: Model | None = Field(None, description="the teacher to train; either this or load")
    train: LabelTraining | None = Field(None, description="how it is trained; only with model")
    load: FilePath | None = Field(None, description="a trained teacher: a .keras file or a SavedModel folder")
    signature: Text | None = Field(None, description="which signature of a loaded SavedModel; null: the only one")
    reads: Literal["encoded", "raw"] | None = Field(
        None,
        description="what a loaded teacher takes: indices of this recipe's vocabularies, or the values of the data",
        json_schema_extra={"shown_default": "encoded"},
    )
    inputs: dict[str, Text] | None = Field(
        None, description="input of a loaded teacher: field of the data; null: inputs are named like fields"
    )
    outputs: Literal["logits", "probabilities"] | None = Field(
        None, description="what a loaded teacher gives back", json_schema_extra={"shown_default": "logits"}
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_chosen_way(cls, values):
        """Fills what depends on the way chosen, so that the resolved recipe says it and the other way stays empty."""
        if not isinstance(values, dict):
            return values
        if values.get("load") is not None:
            defaults = {"reads": "encoded", "outputs": "logits"}
        elif values.get("model") is not None:
            defaults = {"train": {}}
        else:
            defaults = {}
        return values | {key: value for key, value in defaults.items() if values.get(key) is None}

    @model_validator(mode="after")
    def _one_way(self):
        if self.load is not None and self.model is not None:
            advice = "On the command line --set 'teacher={load: PATH}' replaces all of teacher"
            raise refuse(
                "load", f"expected either model (trained here) or load (a trained one), received both. {advice}"
            )
        if self.load is not None and self.train is not None:
            raise refuse("train", "only with model; a loaded teacher is not trained")
        for key in ("signature", "reads", "inputs", "outputs"):
            if self.load is None and getattr(self, key) is not None:
                raise refuse(key, "only with load, a teacher that is already trained")
        if self.load is None and self.model is None:
            raise refuse("", "expected either model (trained here) or load (a trained one), received neither")
        return self


class SoftTargets(Section):
    """What the teacher labels before the student learns: every training row and a pool of pairs that nobody rated."""

    unrated_ratio: Annotated[float, Field(ge=0)] = Field(4.0, description="unrated pairs in the pool per training row")
    batch_size: Count = Field(8192, description="rows a call of the teacher")


class Student(Section):
    """The small model, and how it trains alone: the baseline that distillation has to beat."""

    model: Model = Field(default_factory=lambda: MLP(kind="mlp"), description="the student")
    train: LabelTraining = Field(default_factory=LabelTraining, description="how it is trained, alone")


class Distill(Section):
    """How the student learns from the teacher."""

    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="softens both sides; 1: as they are")
    student_loss_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="weight of the hard labels; the soft targets have the rest"
    )
    unrated_ratio: Annotated[float, Field(ge=0)] = Field(
        2.0, description="unrated pairs mixed in per training row each epoch; at most soft_targets.unrated_ratio"
    )
    train: Training = Field(
        default_factory=Training, description="how it is trained; keys left out are those of student.train"
    )


class Export(Section):
    """The files that a run makes of the students."""

    formats: Annotated[
        tuple[Literal["saved_model", "tflite_float32", "tflite_float16", "tflite_dynamic_int8", "tflite_int8"], ...],
        Field(strict=False, min_length=1),
        AfterValidator(distinct),
    ] = Field(
        ("saved_model", "tflite_float32", "tflite_float16", "tflite_dynamic_int8", "tflite_int8"),
        description="which files",
    )
    output: Literal["probability", "logit"] = Field("probability", description="what the files give back")
    calibration_examples: Count = Field(4096, description="training rows that set the ranges of tflite_int8")


class Evaluate(Section):
    """How the models and the files are measured."""

    threads: Count = Field(1, description="threads of an artifact while it is timed")
    latency_runs: Count = Field(1000, description="timed calls at batch 1")
    ndcg_k: Count = Field(10, description="k of ndcg@k")


class Recipe(Section):
    """A complete job: data, teacher, student, distillation, files and measurements."""

    name: RecipeName = Field(
        description="names the folder of its runs", json_schema_extra={"shown_default": "the file's name"}
    )
    description: str = Field("", description="what it shows, in one line")
    seed: Seed = Field(1, description="seeds the data, the split and the teacher")
    student_seeds: Seeds = Field(
        (1, 2, 3),
        description="one student each, alone and distilled",
        json_schema_extra={"shown_default": "[seed, seed + 1, seed + 2]"},
    )
    data: Data = Field(description="what is learned from")
    teacher: Teacher = Field(description="the model to learn from")
    soft_targets: SoftTargets = Field(default_factory=SoftTargets, description="what the teacher labels")
    student: Student = Field(default_factory=Student, description="the small model")
    distill: Distill = Field(default_factory=Distill, description="how the student learns from the teacher")
    export: Export = Field(default_factory=Export, description="the files made of the students")
    evaluate: Evaluate = Field(default_factory=Evaluate, description="how everything is measured")

    @model_validator(mode="before")
    @classmethod
    def _defaults_from_other_keys(cls, values):
        if not isinstance(values, dict):
            return values
        values = dict(values)
        seed = values.get("seed", 1)
        if "student_seeds" not in values and type(seed) is int:
            values["student_seeds"] = [seed, seed + 1, seed + 2]
        student, distill = (as_mapping(values.get(key, {})) for key in ("student", "distill"))
        if student is not None and distill is not None:
            alone, own = as_mapping(student.get("train", {})), as_mapping(distill.get("train", {}))
            if alone is not None and own is not None:
                inherited = {key: value for key, value in alone.items() if key in Training.model_fields}
                values["distill"] = distill | {"train": inherited | own}
        return values

    @field_validator("description")
    @classmethod
    def _one_line(cls, description):
        return " ".join(description.split())

    @model_validator(mode="after")
    def _pool_suffices(self):
        wanted, pool = self.distill.unrated_ratio, self.soft_targets.unrated_ratio
        if wanted > pool:
            raise refuse(
                "distill.unrated_ratio", f"expected at most soft_targets.unrated_ratio ({pool:g}), received {wanted:g}"
            )
        return self

    def resolved(self) -> dict[str, Any]:
        """Returns the recipe with every default filled in and paths made absolute, ready for JSON."""
        return self.model_dump(mode="json")

    @property
    def run_name(self) -> str:
        """The first ten hexadecimal digits of the sha256 of the resolved recipe, its description left out.

        Equal recipes share a run.
        """
        content = {key: value for key, value in self.resolved().items() if key != "description"}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:10]
