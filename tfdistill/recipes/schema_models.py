"""The models of a recipe and how they are trained."""

from typing import Annotated, Literal

from pydantic import Field

from tfdistill.recipes.schema_steps import Steps
from tfdistill.recipes.schema_types import Count, Section, Widths


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


class Block(Section):
    """Convolution, batch normalisation and ReLU."""

    filters: Count = Field(8, description="channels that come out")
    kernel_size: Count = Field(3, description="pixels on a side of the filters")
    strides: Count = Field(2, description="pixels from one place of the filters to the next")


class CNN(Section):
    """Convolutions, dense layers, a logit a class; for images."""

    kind: Literal["cnn"] = Field(description="which model")
    blocks: Annotated[tuple[Block, ...], Field(strict=False, min_length=1)] = Field(
        (Block(kernel_size=4, strides=4),),
        description="convolutions, each with batch normalisation and ReLU",
        json_schema_extra={"shown_default": "[{filters: 8, kernel_size: 4, strides: 4}]"},
    )
    hidden_units: Widths = Field((16,), description="widths of the dense layers")


Model = Annotated[MLP | DCNV2 | CNN, Field(discriminator="kind")]


class Training(Steps):
    """How a model is trained; the epoch with the best validation AUC, or accuracy, is kept."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="share of every hidden layer dropped")
    embedding_l2: Annotated[float, Field(ge=0)] = Field(0.0, description="weight of the squared norm of looked-up rows")


class LabelTraining(Training):
    """How a model is trained on hard labels, with one more task beside them if wanted."""

    exposure_weight: Annotated[float, Field(ge=0)] = Field(
        0.0, description="weight of a second task in training, telling rated pairs from unrated ones; 0: none"
    )
