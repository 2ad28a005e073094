"""What the recipe schema is made of: the base of every section, bounded types, and how a combination is refused."""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

NUMBER, NAME, LIST = "number", "name", "list"  # what pydantic calls the members of a union that are no mappings
LARGEST_SEED = 2**31 - 3  # leaves room for the two students' seeds that follow it


def refuse(key, message):
    """Returns the exception for a combination that cannot be.

    Args:
        key: the culprit, as a dotted path below the section that refuses; "" for the section itself.
        message: what was expected, what was received.
    """
    template = "{key}: {message}" if key else "{message}"
    return PydanticCustomError("impossible", template, {"key": key, "message": message})


def distinct(values):
    """Returns a list as it is; refuses one that holds a value twice."""
    for position, value in enumerate(values):
        if value in values[:position]:
            raise refuse("", f"expected every item once, received {value!r} twice")
    return values


def _absolute(path):
    return None if path is None else os.path.abspath(os.path.expanduser(path))


def as_mapping(section):
    """The keys that a section was given, whether it comes as a mapping or ready made; `None` for anything else."""
    if isinstance(section, Section):
        return {key: getattr(section, key) for key in section.model_fields_set}
    return section if isinstance(section, dict) else None


Text = Annotated[str, Field(min_length=1)]
TFLiteFormat = Literal[
    "tflite_float32",
    "tflite_float16",
    "tflite_dynamic_int8",
    "tflite_weight_only_int8",
    "tflite_int8",
    "tflite_int16",
    "tflite_int4",
]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
# Lists of YAML become tuples, which is why these are not strict about the container; their items are.
Widths = Annotated[tuple[Count, ...], Field(strict=False)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, le=LARGEST_SEED + 2)], ...],
    Field(strict=False, min_length=1),
    AfterValidator(distinct),
]
Numbers = Annotated[tuple[float, ...], Field(strict=False), AfterValidator(distinct)]
# Kept absolute, so that a run does not mean other data when it is started from another folder.
# (The plain text among what is said about a type is how messages call it.)
FilePath = Annotated[Text, "a path", AfterValidator(_absolute)]
FilePaths = Annotated[
    tuple[FilePath, ...],
    Field(strict=False, min_length=1),
    "a path or a list of paths",
    BeforeValidator(lambda paths: (paths,) if isinstance(paths, str) else paths),
    AfterValidator(distinct),
]
RecipeName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=100),
    "a name of at most 100 characters A-Z a-z 0-9 . _ - that starts with a letter, a digit or _",
]


class Section(BaseModel):
    """A mapping of the recipe: unknown keys are refused, types are exact, nothing changes once it is read."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())
