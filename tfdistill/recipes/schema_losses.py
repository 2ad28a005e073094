"""The losses of a recipe: a section a class of `tfdistill.losses`, with the arguments and defaults of its constructor.

They are written out, since reading the classes would import TensorFlow to validate a recipe; a test compares the two.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfdistill.recipes.schema_schedules import NotNegative, PlainTemperature, Positive, Scale, Temperature, Weight
from tfdistill.recipes.schema_types import Count, Section, Text, refuse

Task = Literal["auto", "categorical", "binary"]
Projector = Literal["auto", "dense", "conv"]

TEMPERATURE = "softens both sides; 1: as they are"
TASK = "what the outputs are: a softmax, sigmoids, or sigmoids where there is one output"
PROJECTOR = "what brings the student's features to the teacher's shape, trained along; null: nothing"


class Loss(Section):
    """What teacher and student are compared by."""

    kind: str
    weight: Weight = Field(1.0, description="what it counts in the sum of the losses")

    @property
    def teacher_layer(self):
        """The layer of the teacher that it reads; `None` for the logits."""
        return getattr(self, "teacher_layer_name", None)


class FeatureLoss(Loss):
    """A loss between what layers compute."""

    teacher_layer_name: Text | None = Field(None, description="the teacher's layer: its name or path; null: its logits")
    student_layer_name: Text | None = Field(None, description="the student's layer: its name or path; null: its logits")


class LogitsDistillation(Loss):
    """Softened divergence between logits (KD)."""

    kind: Literal["logits_distillation"] = Field(description="which loss")
    temperature: Temperature = Field(3.0, description=TEMPERATURE)
    loss: Literal[
        "kl_divergence", "categorical_crossentropy", "binary_crossentropy", "mse", "mae", "huber", "cosine_similarity"
    ] = Field("kl_divergence", description="how softened outputs are compared")
    task: Task = Field("auto", description=TASK)


class DecoupledDistillation(Loss):
    """The target class apart from the others, for three classes and more (DKD)."""

    kind: Literal["decoupled_distillation"] = Field(description="which loss")
    temperature: Temperature = Field(4.0, description=TEMPERATURE)
    alpha: NotNegative = Field(1.0, description="weight of the target class")
    beta: NotNegative = Field(8.0, description="weight of the other classes")
    task: Task = Field("auto", description=TASK)


class CorrelationDistillation(Loss):
    """The order of preferences rather than their size (DIST)."""

    kind: Literal["correlation_distillation"] = Field(description="which loss")
    temperature: Temperature = Field(1.0, description=TEMPERATURE)
    beta: NotNegative = Field(1.0, description="weight of the correlations of rows, between classes")
    gamma: NotNegative = Field(1.0, description="weight of the correlations of columns, between examples")
    task: Task = Field("auto", description=TASK)


class MultiLevelDistillation(Loss):
    """Several temperatures at once, with correlations between classes and between examples (MLD)."""

    kind: Literal["multi_level_distillation"] = Field(description="which loss")
    temperature: Temperature = Field(4.0, description="the base temperature")
    other_temperatures: Annotated[tuple[Positive, ...], Field(strict=False)] = Field(
        (2.0, 3.0, 5.0, 6.0), description="temperatures beside it"
    )
    task: Task = Field("auto", description=TASK)


class BlendedDistillation(Loss):
    """Divergence plus squared difference (KL + L2)."""

    kind: Literal["blended_distillation"] = Field(description="which loss")
    alpha: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="share of the divergence")
    temperature: Temperature = Field(1.0, description="of the divergence")
    l2_on: Literal["probabilities", "logits"] = Field("probabilities", description="what the difference is between")
    task: Task = Field("auto", description=TASK)


class AnnealingDistillation(Loss):
    """Squared difference to the teacher's logits, scaled from quiet to loud."""

    kind: Literal["annealing_distillation"] = Field(description="which loss")
    scale: Scale = Field(1.0, description="factor of the teacher's logits, usually kind: annealing")
    task: Task = Field("auto", description=TASK)


ResponseLoss = Annotated[
    LogitsDistillation
    | DecoupledDistillation
    | CorrelationDistillation
    | MultiLevelDistillation
    | BlendedDistillation
    | AnnealingDistillation,
    Field(discriminator="kind"),
]


class StandardizedLogits(Loss):
    """Another loss on standardised logits, for three classes and more."""

    kind: Literal["standardized_logits"] = Field(description="which loss")
    loss: ResponseLoss | None = Field(
        None,
        description="the loss on them; null: logits_distillation with temperature 2",
        json_schema_extra={"keys_of": "distill.losses[]"},
    )

    @model_validator(mode="after")
    def _one_weight(self):
        if self.loss is not None and self.loss.weight != 1.0:
            raise refuse("loss.weight", "only on the loss around it. Move it there")
        return self


class FeatureDistillation(FeatureLoss):
    """Any loss between features."""

    kind: Literal["feature_distillation"] = Field(description="which loss")
    loss: Literal["mse", "mae", "huber", "log_cosh", "cosine_similarity"] = Field(
        "mse", description="how features are compared"
    )
    projector: Projector | None = Field(None, description=PROJECTOR)


class HintDistillation(FeatureLoss):
    """Squared difference between features (FitNets)."""

    kind: Literal["hint_distillation"] = Field(description="which loss")
    projector: Projector | None = Field("auto", description=PROJECTOR)


class AttentionTransfer(FeatureLoss):
    """Where convolutions look (AT)."""

    kind: Literal["attention_transfer"] = Field(description="which loss")


class AttentionMapTransfer(FeatureLoss):
    """Where transformers look: layers whose output is attention distributions."""

    kind: Literal["attention_map_transfer"] = Field(description="which loss")
    loss: Literal["mse", "kl_divergence"] = Field("mse", description="how the distributions are compared")


class SimilarityPreserving(FeatureLoss):
    """Which examples of a batch are alike (SP)."""

    kind: Literal["similarity_preserving"] = Field(description="which loss")
    examples: Count | None = Field(256, description="examples of a batch that are compared; null: all")


class RelationalDistillation(FeatureLoss):
    """Distances and angles between the examples of a batch (RKD)."""

    kind: Literal["relational_distillation"] = Field(description="which loss")
    distance_weight: NotNegative = Field(25.0, description="weight of the distances")
    angle_weight: NotNegative = Field(50.0, description="weight of the angles")
    distance_examples: Count | None = Field(256, description="examples of a batch whose distances count; null: all")
    angle_examples: Count | None = Field(64, description="examples of a batch whose angles count; null: all")


class ContrastiveDistillation(FeatureLoss):
    """Telling one's own teacher features from those of the batch's other examples (InfoNCE)."""

    kind: Literal["contrastive_distillation"] = Field(description="which loss")
    dimension: Count = Field(128, description="what both sides are projected to")
    temperature: PlainTemperature = Field(0.07, description="of the similarities")
    examples: Count | None = Field(256, description="examples of a batch that are compared; null: all")


AnyLoss = Annotated[
    LogitsDistillation
    | DecoupledDistillation
    | CorrelationDistillation
    | MultiLevelDistillation
    | StandardizedLogits
    | BlendedDistillation
    | AnnealingDistillation
    | FeatureDistillation
    | HintDistillation
    | AttentionTransfer
    | AttentionMapTransfer
    | SimilarityPreserving
    | RelationalDistillation
    | ContrastiveDistillation,
    Field(discriminator="kind"),
]
