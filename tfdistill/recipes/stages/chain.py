"""Who learns from whom: the teacher teaches the first assistant, each assistant the next, the last one the students."""

import dataclasses

from tfdistill.recipes.schema import Distill
from tfdistill.recipes.schema_models import Model
from tfdistill.recipes.schema_types import Precision


@dataclasses.dataclass(frozen=True)
class Link:
    """One distillation of a run.

    Attributes:
        teacher: the stage whose model teaches.
        soft_targets: the stage in which it labels the data.
        learner: the stage of the assistant that learns; `None` for the students, which have a stage a seed.
        model: the learner's shape.
        precision: what the learner computes in.
        distill: how it learns.
        key: where the recipe says so.
    """

    teacher: str
    soft_targets: str
    learner: str | None
    model: Model
    precision: Precision
    distill: Distill
    key: str


def chain(recipe):
    """Returns the links of a recipe's chain, one more than it has assistants.

    >>> from tfdistill.recipes.loading import load_recipe
    >>> [(link.teacher, link.soft_targets, link.learner) for link in chain(load_recipe("quickstart"))]
    [('teacher', 'soft_targets', None)]
    """
    links, teacher, suffix = [], "teacher", ""
    for number, assistant in enumerate(recipe.assistants, start=1):
        learner, key = assistant_stage(number), f"assistants[{number - 1}].distill"
        links.append(
            Link(
                teacher,
                f"soft_targets{suffix}",
                learner,
                assistant.model,
                assistant.precision,
                assistant.distill,
                key,
            )
        )
        teacher, suffix = learner, f"_{number}"
    of = recipe.student
    links.append(Link(teacher, f"soft_targets{suffix}", None, of.model, of.precision, recipe.distill, "distill"))
    return links


def assistant_stage(number):
    """The name of the stage that trains an assistant, counted from 1: "assistant_1"."""
    return f"assistant_{number}"
