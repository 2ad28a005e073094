"""The `teacher` section of a recipe: one model or several, trained here or loaded."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tfdistill.recipes.schema_models import LabelTraining, Model
from tfdistill.recipes.schema_types import LIST, NAME, Count, FilePaths, Precision, Section, Text, refuse

TeacherWeights = Annotated[
    Annotated[Literal["entropy", "confidence"], Tag(NAME)]
    | Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(strict=False), Tag(LIST)],
    Discriminator(lambda value: LIST if isinstance(value, list | tuple) else NAME),
    "'entropy', 'confidence' or a list of numbers of at least 0",
]


class Teacher(Section):
    """The model to learn from, or several: trained here (model, train), or what you have (load)."""

    model: Model | None = Field(None, description="the teacher to train; either this or load")
    train: LabelTraining | None = Field(None, description="how it is trained; only with model")
    members: Count | None = Field(
        None,
        description="how many are trained, with seeds one after another; only with model",
        json_schema_extra={"shown_default": "1"},
    )
    load: FilePaths | None = Field(
        None, description="a trained teacher, a .keras file or a SavedModel folder, or a list of several"
    )
    precision: Precision | None = Field(
        None,
        description="what it computes in; null: of a loaded one what it was saved with",
        json_schema_extra={"shown_default": "float32, of a loaded one null"},
    )
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
    combine: Literal["logits", "probabilities"] | None = Field(
        None,
        description="what of several teachers the mean is taken of",
        json_schema_extra={"shown_default": "logits"},
    )
    weights: TeacherWeights | None = Field(
        None,
        description="what each of several teachers counts: a number each, entropy (the surer the more), confidence (the "
        "more right of a rated row's label the more), null: alike",
    )

    @property
    def count(self):
        """The number of teachers."""
        return self.members if self.load is None else len(self.load)

    @property
    def is_one_of_ours(self):
        """Whether it is one model, trained here, which can be exported like the student."""
        return self.load is None and self.members == 1

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_chosen_way(cls, values):
        """Fills what depends on the way chosen, so that the resolved recipe says it and the other way stays empty."""
        if not isinstance(values, dict):
            return values
        load, members = values.get("load"), values.get("members")
        if load is not None:
            defaults = {"reads": "encoded", "outputs": "logits"}
        elif values.get("model") is not None:
            defaults = {"train": {}, "members": 1, "precision": "float32"}
        else:
            defaults = {}
        if (isinstance(load, list | tuple) and len(load) > 1) or (isinstance(members, int) and members > 1):
            defaults["combine"] = "logits"
        return values | {key: value for key, value in defaults.items() if values.get(key) is None}

    @model_validator(mode="after")
    def _one_way(self):
        if self.load is not None and self.model is not None:
            advice = "On the command line --set 'teacher={load: PATH}' replaces all of teacher"
            raise refuse(
                "load", f"expected either model (trained here) or load (a trained one), received both. {advice}"
            )
        for key in ("train", "members"):
            if self.load is not None and getattr(self, key) is not None:
                raise refuse(key, "only with model; a loaded teacher is not trained")
        for key in ("signature", "reads", "inputs", "outputs"):
            if self.load is None and getattr(self, key) is not None:
                raise refuse(key, "only with load, a teacher that is already trained")
        if self.load is None and self.model is None:
            raise refuse("", "expected either model (trained here) or load (a trained one), received neither")
        return self

    @model_validator(mode="after")
    def _several(self):
        for key in ("combine", "weights"):
            if self.count == 1 and getattr(self, key) is not None:
                raise refuse(key, "only with several teachers: members above 1, or a list of paths to load")
        if isinstance(self.weights, tuple):
            if len(self.weights) != self.count:
                raise refuse(
                    "weights", f"expected a number for each of the {self.count} teachers, received {len(self.weights)}"
                )
            if not sum(self.weights) > 0:
                raise refuse("weights", "expected at least one number above 0")
        return self
