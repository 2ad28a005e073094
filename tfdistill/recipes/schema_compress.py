"""The compression steps of a recipe: what is done to the student after it has learned, one step after another."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tfdistill.recipes.schema_models import LabelTraining, Training
from tfdistill.recipes.schema_types import Count, Section, Text, TFLiteFormat, as_mapping, distinct, refuse

LAYERS = "which layers: names, paths or patterns such as 'embed_*'; null: all with kernels or tables"
Layers = Annotated[tuple[Text, ...], Field(strict=False, min_length=1), AfterValidator(distinct)]
Formats = Annotated[
    tuple[TFLiteFormat, ...],
    Field(strict=False),
    AfterValidator(distinct),
]
FORMATS = "files made of the student as it is after this step"


class Step(Section):
    """A step that makes the student smaller while it trains on."""

    kind: str
    layers: Layers | None = Field(None, description=LAYERS)
    train: Training = Field(
        default_factory=Training,
        description="how the distilled student trains on, its teacher beside it; keys left out are those of distill.train",
        json_schema_extra={"keys_of": "distill.train"},
    )
    train_alone: LabelTraining = Field(
        default_factory=LabelTraining,
        description="how the student alone trains on; keys left out are those given for train, then those of student.train",
        json_schema_extra={"keys_of": "student.train"},
    )


class Prune(Step):
    """Zeros for the weights of the least magnitude."""

    kind: Literal["prune"] = Field(description="which step")
    sparsity: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="share of zeros in the end")
    initial_sparsity: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of zeros in the beginning")
    ramp: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="share of the training in which the sparsity grows; of the epochs after it the best is kept"
    )
    frequency: Count = Field(20, description="steps between updates of the masks")
    scope: Literal["layer", "global"] = Field("layer", description="what is ranked together: each weight, or all")
    block_size: Annotated[tuple[Count, ...], Field(strict=False, min_length=2, max_length=2)] = Field(
        (1, 1), description="rows and columns that become zero together"
    )
    block_pooling_type: Literal["AVG", "MAX"] = Field("AVG", description="the magnitude of a block")
    m_by_n: Annotated[tuple[Count, ...], Field(strict=False, min_length=2, max_length=2)] | None = Field(
        None, description="m zeros in any n consecutive weights, [2, 4]; instead of sparsity"
    )
    formats: Formats = Field(("tflite_float32", "tflite_int8"), description=FORMATS)

    @model_validator(mode="after")
    def _sparsity_grows(self):
        if self.initial_sparsity > self.sparsity:
            told = f"expected at most sparsity ({self.sparsity:g}), received {self.initial_sparsity:g}"
            raise refuse("initial_sparsity", told)
        return self


class Cluster(Step):
    """A few values that all weights of a kernel or a table share."""

    kind: Literal["cluster"] = Field(description="which step")
    number_of_clusters: Annotated[int, Field(ge=2)] = Field(16, description="values a kernel or table may have")
    initialization: Literal["linear", "random", "density_based", "kmeans_plus_plus"] = Field(
        "kmeans_plus_plus", description="where the values begin"
    )
    preserve_sparsity: bool = Field(False, description="keep the zeros that are there as a value of their own")
    per_channel: bool = Field(False, description="values for each output channel of convolutions")
    formats: Formats = Field(("tflite_float32", "tflite_int8"), description=FORMATS)


class QuantizeAware(Step):
    """Weights and activations rounded as in the int8 file, so that training makes up for it."""

    kind: Literal["quantize_aware"] = Field(description="which step")
    weight_bits: Annotated[int, Field(ge=2, le=8)] = Field(8, description="bits of kernels and tables")
    ranges: Literal["ema", "learned"] = Field("ema", description="ranges of activations: a moving average, or trained")
    delay: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of the training before rounding begins")
    formats: Annotated[tuple[Literal["tflite_int8"], ...], Field(strict=False)] = Field(
        ("tflite_int8",), description=FORMATS
    )


AnyStep = Annotated[Prune | Cluster | QuantizeAware, Field(discriminator="kind")]


def with_training_defaults(steps, distill: Any, student: Any):
    """Steps with what they do not say of their training taken from how the student learned before.

    Args:
        steps: the `compress` list of a recipe as given.
        distill: the recipe's `distill`, its `train` filled in.
        student: the recipe's `student`.
    """
    taught, alone = (as_mapping((as_mapping(section) or {}).get("train", {})) or {} for section in (distill, student))
    filled = []
    for step in steps:
        given = as_mapping(step)
        own = None if given is None else as_mapping(given.get("train", {}))
        own_alone = None if given is None else as_mapping(given.get("train_alone", {}))
        if own is None or own_alone is None:
            filled.append(step)
            continue
        filled.append({**given, "train": {**taught, **own}, "train_alone": {**alone, **own, **own_alone}})
    return filled
