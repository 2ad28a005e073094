"""The keys of a recipe that say how weights are updated, the same for every task."""

from typing import Annotated, Literal

from pydantic import Field

from tfdistill.recipes.schema_types import Count, Section


class Steps(Section):
    """How many updates there are, and of what kind."""

    epochs: Count = Field(10, description="passes over the training part")
    batch_size: Count = Field(2048, description="rows a step")
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.001, description="the optimizer's step size")
    learning_rate_schedule: Literal["constant", "cosine"] = Field("cosine", description="cosine: falls to 0")
    optimizer: Literal["adam", "adagrad", "row_wise_adagrad"] = Field(
        "adam", description="row_wise_adagrad: keeps one number a row of a table, for tables that fill the memory"
    )
    lazy: bool = Field(
        True,
        description="whether an update is of those rows of tables alone that the batch looks up, and costs what they cost; "
        "false: of all rows, as their momentum says",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="decoupled decay of all weights, a step")
    steps_per_execution: Count = Field(
        16, description="updates in one call of TensorFlow, with nothing of Python between"
    )
    xla: Literal["auto"] | bool = Field(
        "auto", description="whether XLA compiles a step; auto: where it is known to be faster"
    )
