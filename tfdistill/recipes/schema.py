"""The recipe: every key that a recipe file may have, its type, its default and its bounds."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tfdistill.recipes.schema_compress import AnyStep, with_training_defaults
from tfdistill.recipes.schema_data import Data
from tfdistill.recipes.schema_job import Job, with_defaults, with_student_seeds
from tfdistill.recipes.schema_losses import AnyLoss, LogitsDistillation
from tfdistill.recipes.schema_models import MLP, LabelTraining, Model, Training
from tfdistill.recipes.schema_schedules import Share
from tfdistill.recipes.schema_tasks import check_task, with_task_defaults
from tfdistill.recipes.schema_teacher import Teacher
from tfdistill.recipes.schema_types import (
    Count,
    Precision,
    Section,
    TFLiteFormat,
    as_mapping,
    distinct,
    refuse,
)


class SoftTargets(Section):
    """What a teacher labels before a student learns: every training row and a pool of rows that have no label."""

    unrated_ratio: Annotated[float, Field(ge=0)] = Field(
        4.0, description="pairs that nobody rated, or images without a label, in the pool per training row"
    )
    draw: Literal["uniform", "popularity", "uniform_users", "teacher"] = Field(
        "uniform",
        description="how pairs are drawn. uniform: active users more often, items alike; popularity: rated items more "
        "often; uniform_users: users alike; teacher: the likelier for the user, the more often",
    )
    candidates: Count = Field(8, description="items that each pair is chosen from; for draw: teacher")
    dtype: Literal["float32", "float16"] = Field("float32", description="how what the teacher says is kept")
    batch_size: Count = Field(8192, description="rows a call of the teacher")

    @model_validator(mode="after")
    def _candidates_are_chosen_from(self):
        if self.draw != "teacher" and self.candidates != type(self).model_fields["candidates"].default:
            raise refuse("candidates", f"only with draw 'teacher', this draw is {self.draw!r}. Remove it")
        return self


class Student(Section):
    """The small model, and how it trains alone: the baseline that distillation has to beat."""

    model: Model = Field(default_factory=lambda: MLP(kind="mlp"), description="the student")
    train: LabelTraining = Field(default_factory=LabelTraining, description="how it is trained, alone")
    precision: Precision = Field(
        "float32", description="what it computes in while it is trained; files are exact to it"
    )


class Distill(Section):
    """How the student learns from the teacher."""

    losses: Annotated[tuple[AnyLoss, ...], Field(strict=False, min_length=1)] = Field(
        (LogitsDistillation(kind="logits_distillation", temperature=1.0),),
        description="what student and teacher are compared by; their weighted sum is the distillation loss",
        json_schema_extra={"shown_default": "[{kind: logits_distillation, temperature: 1}]"},
    )
    student_loss_weight: Share = Field(0.1, description="weight of the hard labels; the soft targets have the rest")
    teacher_interval: Count = Field(1, description="the teacher counts every so many steps, the hard labels in all")
    unrated_ratio: Annotated[float, Field(ge=0)] = Field(
        2.0,
        description="rows of the pool, without a label, mixed in per training row each epoch; at most "
        "soft_targets.unrated_ratio",
    )
    train: Training = Field(
        default_factory=Training, description="how it is trained; keys left out are those of student.train"
    )

    @property
    def teacher_layers(self):
        """The layers of the teacher that the losses read beside its logits, each once."""
        return list(dict.fromkeys(loss.teacher_layer for loss in self.losses if loss.teacher_layer is not None))


class Assistant(Section):
    """A model between teacher and student: it learns from the one before it and teaches the next."""

    model: Model = Field(description="the assistant")
    distill: Distill = Field(
        default_factory=Distill,
        description="how it learns; keys left out are those of distill, its losses and its train included",
        json_schema_extra={"keys_of": "distill"},
    )
    precision: Precision = Field("float32", description="what it computes in")


class Export(Section):
    """The files that a run makes of the students."""

    formats: Annotated[
        tuple[Literal["saved_model", TFLiteFormat], ...],
        Field(strict=False, min_length=1),
        AfterValidator(distinct),
    ] = Field(
        ("saved_model", "tflite_float32", "tflite_float16", "tflite_dynamic_int8", "tflite_int8"),
        description="which files",
    )
    output: Literal["probability", "logit"] = Field("probability", description="what the files give back")
    calibration_examples: Count = Field(
        4096, description="training rows that set the ranges of tflite_int8 and tflite_int16"
    )


class Evaluate(Section):
    """How the models and the files are measured."""

    threads: Count = Field(1, description="threads of an artifact while it is timed")
    latency_runs: Count = Field(1000, description="timed calls at batch 1")
    ndcg_k: Count = Field(10, description="k of ndcg@k")


class Recipe(Job):
    """A complete job: data, teacher, student, distillation, files and measurements."""

    data: Data = Field(description="what is learned from")
    teacher: Teacher = Field(description="the model to learn from")
    soft_targets: SoftTargets = Field(default_factory=SoftTargets, description="what the teacher labels")
    student: Student = Field(default_factory=Student, description="the small model")
    distill: Distill = Field(default_factory=Distill, description="how the student learns from the teacher")
    assistants: Annotated[tuple[Assistant, ...], Field(strict=False)] = Field(
        (), description="models between teacher and student, the first learns from the teacher"
    )
    compress: Annotated[tuple[AnyStep, ...], Field(strict=False)] = Field(
        (),
        description="what makes the students smaller after that, one step after another, with and without the teacher",
    )
    export: Export = Field(default_factory=Export, description="the files made of the students")
    evaluate: Evaluate = Field(default_factory=Evaluate, description="how everything is measured")

    @model_validator(mode="before")
    @classmethod
    def _defaults_from_other_keys(cls, values):
        if not isinstance(values, dict):
            return values
        values = with_task_defaults(with_student_seeds(values))
        student, distill = (as_mapping(values.get(key, {})) for key in ("student", "distill"))
        if student is None or distill is None:
            return values
        alone = as_mapping(student.get("train", {}))
        if alone is not None:
            alone = {key: value for key, value in alone.items() if key in Training.model_fields}
            values["distill"] = distill = with_defaults(distill, {"train": alone})
        if isinstance(values.get("compress"), list | tuple):
            values["compress"] = with_training_defaults(values["compress"], distill, student)
        if isinstance(values.get("assistants"), list | tuple):
            values["assistants"] = [_taught_like(assistant, distill) for assistant in values["assistants"]]
        return values

    @model_validator(mode="after")
    def _pool_suffices(self):
        pool = self.soft_targets.unrated_ratio
        learners = {"distill": self.distill}
        learners |= {f"assistants.{number}.distill": one.distill for number, one in enumerate(self.assistants)}
        for key, distill in learners.items():
            if distill.unrated_ratio > pool:
                told = f"expected at most soft_targets.unrated_ratio ({pool:g}), received {distill.unrated_ratio:g}"
                raise refuse(f"{key}.unrated_ratio", told)
        return self

    @model_validator(mode="after")
    def _suits_its_data(self):
        check_task(self)
        return self


def _taught_like(assistant, distill):
    """An assistant with what it does not say of its distillation taken from the recipe's."""
    given = as_mapping(assistant)
    own = as_mapping(given.get("distill", {})) if given is not None else None
    return assistant if own is None else given | {"distill": with_defaults(own, distill)}
