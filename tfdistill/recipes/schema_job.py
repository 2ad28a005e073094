"""What every recipe has, whatever is learned: a name, seeds, and the identity of its runs."""

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, field_validator

from tfdistill.recipes.schema_types import RecipeName, Section, Seed, Seeds, as_mapping


class Job(Section):
    """A complete job."""

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

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "parameter_server", "tpu"] = Field(
        "auto",
        description="what trains: one device, all of this machine, or several machines, with equal results. auto: several "
        "machines where TF_CONFIG names them, else the TPU that TPU_NAME names, else all GPUs there are, else the CPU",
    )

    @field_validator("description")
    @classmethod
    def _one_line(cls, description):
        return " ".join(description.split())

    def resolved(self) -> dict[str, Any]:
        """Returns the recipe with every default filled in and paths made absolute, ready for JSON."""
        return self.model_dump(mode="json")

    @property
    def run_name(self) -> str:
        """The first ten hexadecimal digits of the sha256 of the resolved recipe, description and strategy left out.

        Equal recipes share a run, whatever it runs on.
        """
        content = {key: value for key, value in self.resolved().items() if key not in ("description", "strategy")}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:10]


def with_student_seeds(values):
    """The keys of a recipe with the students' seeds, where they are not given: three from `seed` on."""
    seed = values.get("seed", 1)
    if "student_seeds" in values or type(seed) is not int:
        return dict(values)
    return {**values, "student_seeds": [seed, seed + 1, seed + 2]}


def with_defaults(section, defaults):
    """The keys given for a section, and below `train` too, over those of another."""
    train, default_train = (as_mapping(values.get("train", {})) for values in (section, defaults))
    merged = {**defaults, **section}
    if train is not None and default_train is not None:
        merged["train"] = {**default_train, **train}
    return merged
