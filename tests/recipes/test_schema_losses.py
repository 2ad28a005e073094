"""Every loss and every schedule of the library has a section in recipes that says the same: a new one fails here."""

import inspect
import re
from typing import Literal, get_args, get_origin

import pydantic
import pytest

from tfdistill import losses, schedules
from tfdistill.data.unrated import DRAWS
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.recipes.schema import SoftTargets
from tfdistill.recipes.schema_losses import AnyLoss
from tfdistill.recipes.schema_ranking_losses import AnyRankingLoss
from tfdistill.recipes.schema_schedules import (
    ADAPTIVE_TEMPERATURES,
    ADAPTIVE_WEIGHTS,
    SCHEDULES,
    Share,
    Temperature,
    Weight,
)
from tfdistill.recipes.stages.losses import build_loss, number
from tfdistill.schedules.catalogue import KINDS
from tfdistill.soft_targets.writing import DTYPES

BASES = ("DistillationLoss", "FunctionLoss", "OutputLoss", "ResponseLoss")
RETRIEVAL = (losses.RankingLoss, losses.RepresentationLoss)
EVERY_CLASS = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): getattr(losses, name)
    for name in losses.__all__
    if inspect.isclass(getattr(losses, name)) and name not in (*BASES, "RankingContext")
}
CLASSES = {kind: one for kind, one in EVERY_CLASS.items() if not issubclass(one, RETRIEVAL)}
RANKING_CLASSES = {
    kind: one for kind, one in EVERY_CLASS.items() if issubclass(one, RETRIEVAL) and one not in RETRIEVAL
}
LOSSES = {section.model_fields["kind"].annotation.__args__[0]: section for section in get_args(get_args(AnyLoss)[0])}
RANKING_LOSSES = {
    section.model_fields["kind"].annotation.__args__[0]: section for section in get_args(get_args(AnyRankingLoss)[0])
}
SECTIONS = {section.model_fields["kind"].annotation.__args__[0]: section for section in SCHEDULES}
# Both models of a recipe answer in logits; `teacher.outputs` says what a loaded teacher gives.
NO_KEYS = {"from_logits", "teacher_from_logits"}


def arguments(function):
    """{argument: default} of a constructor, in which tuples are what lists of YAML become."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def keys(section):
    return {
        name: inspect.Parameter.empty if field.is_required() else field.get_default()
        for name, field in section.model_fields.items()
        if name not in ("kind", "weight")
    }


def a_loss(**values):
    return pydantic.TypeAdapter(AnyLoss).validate_python(values)


def a(kind_of_number, value):
    return pydantic.TypeAdapter(kind_of_number).validate_python(value)


def test_recipes_have_a_section_for_every_loss_and_no_other():
    assert set(LOSSES) == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_keys_and_defaults_of_a_loss_are_the_arguments_of_its_constructor(kind):
    own = arguments(CLASSES[kind])
    if issubclass(CLASSES[kind], ResponseLoss) and "task" not in own:
        own |= {name: default for name, default in arguments(ResponseLoss).items() if name not in own}
    assert keys(LOSSES[kind]) == {name: default for name, default in own.items() if name not in NO_KEYS}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_choice_that_a_loss_offers_makes_a_loss(kind):
    for name, field in LOSSES[kind].model_fields.items():
        literal = next(
            (one for one in (field.annotation, *get_args(field.annotation)) if get_origin(one) is Literal), None
        )
        for choice in get_args(literal) if literal is not None else ():
            loss = build_loss(a_loss(**{"kind": kind, name: choice}), steps_per_epoch=10)
            assert isinstance(loss, CLASSES[kind])


def test_retrieval_recipes_have_a_section_for_every_loss_of_theirs_and_no_other():
    assert set(RANKING_LOSSES) == set(RANKING_CLASSES)


@pytest.mark.parametrize("kind", RANKING_CLASSES)
def test_the_keys_and_defaults_of_a_ranking_loss_are_the_arguments_of_its_constructor(kind):
    own = {name: default for name, default in arguments(RANKING_CLASSES[kind]).items() if name != "seed"}
    assert keys(RANKING_LOSSES[kind]) == own


@pytest.mark.parametrize("kind", RANKING_CLASSES)
def test_every_choice_that_a_ranking_loss_offers_makes_a_loss(kind):
    section = RANKING_LOSSES[kind]
    for name, field in section.model_fields.items():
        for choice in get_args(field.annotation) if get_origin(field.annotation) is Literal else ():
            loss = build_loss(section.model_validate({"kind": kind, name: choice}), steps_per_epoch=None)
            assert isinstance(loss, RANKING_CLASSES[kind])


def test_recipes_have_a_section_for_every_schedule_and_no_other():
    assert set(SECTIONS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_and_defaults_of_a_schedule_are_the_arguments_of_its_constructor(kind):
    assert keys(SECTIONS[kind]) == arguments(KINDS[kind])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(KINDS[kind], schedules.Schedule)])
def test_a_schedule_of_a_recipe_knows_the_bounds_of_the_one_that_it_becomes(kind):
    samples = {
        "constant": {"value": 0.5},
        "linear": {"initial": 1, "final": 0.25, "steps": 2},
        "cosine": {"initial": 0.25, "final": 1, "steps": 2, "begin": 1},
        "step": {"boundaries": [1, 2], "values": [0.5, 1, 0.25]},
        "annealing": {"max_temperature": 4, "steps_per_temperature": 1},
        "warm_up": {"target": {"kind": "linear", "initial": 1, "final": 0.5, "steps": 2}, "steps": 1},
    }
    section = a(Weight, {"kind": kind, **samples[kind]})
    assert section.bounds() == number(section, steps_per_epoch=10).bounds


def test_epochs_become_steps():
    linear = number(a(Weight, {"kind": "linear", "initial": 0, "final": 1, "steps": 2, "begin": 0.5}), 100)
    assert (linear.steps, linear.begin) == (200, 50)
    step = number(a(Share, {"kind": "step", "boundaries": [1, 2.5], "values": [0, 0.5, 1]}), 10)
    assert step.boundaries == [10, 25]
    warm_up = number(
        a(Weight, {"kind": "warm_up", "target": {"kind": "annealing", "steps_per_temperature": 2}, "steps": 1}), 5
    )
    assert (warm_up.steps, warm_up.target.steps_per_temperature) == (5, 10)
    assert number(a(Temperature, {"kind": "curriculum_temperature", "steps": 10}), 7).steps == 70
    assert number(2.5, 100) == 2.5


def test_a_loss_is_built_with_its_schedules_in_steps_and_a_loss_inside_it():
    loss = build_loss(
        a_loss(
            kind="standardized_logits",
            loss={
                "kind": "blended_distillation",
                "temperature": {"kind": "cosine", "initial": 4, "final": 1, "steps": 3},
            },
        ),
        steps_per_epoch=10,
    )
    assert isinstance(loss, losses.StandardizedLogits) and isinstance(loss.loss, losses.BlendedDistillation)
    assert loss.loss.temperature.steps == 30
    hint = build_loss(a_loss(kind="hint_distillation", teacher_layer_name="a/b", student_layer_name="c"), 10)
    assert (hint.teacher_layer_name, hint.student_layer_name, hint.projector_kind) == ("a/b", "c", "auto")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "standardized_logits", "loss": {"kind": "logits_distillation", "weight": 2}}, "loss around it"),
        ({"kind": "standardized_logits", "loss": {"kind": "hint_distillation"}}, "'hint_distillation'"),
        ({"kind": "standardized_logits", "loss": {"kind": "standardized_logits"}}, "'standardized_logits'"),
        (
            {"kind": "contrastive_distillation", "temperature": {"kind": "focal_temperature", "base": 2}},
            "focal_temperature",
        ),
    ],
)
def test_a_loss_that_cannot_be_is_refused(values, told):
    with pytest.raises(pydantic.ValidationError, match=told):
        a_loss(**values)


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        (Temperature, {"kind": "warm_up", "target": 4, "steps": 1}, "'warm_up'"),
        (Temperature, {"kind": "step", "boundaries": [2, 1], "values": [3, 2, 1]}, "numbers that increase"),
        (Temperature, {"kind": "step", "boundaries": [1], "values": [3]}, "1 values for 1 boundaries"),
        (Temperature, {"kind": "focal_temperature", "base": 0.5}, r"never below lowest \(1\), received 0.5"),
        (
            Temperature,
            {
                "kind": "confidence_temperature",
                "base": {"kind": "linear", "initial": 4, "final": 1, "steps": 1},
                "lowest": 2,
            },
            r"never below lowest \(2\), received 1",
        ),
        (Temperature, {"kind": "uncertainty_weight"}, "'uncertainty_weight'"),
        (Weight, {"kind": "curriculum_temperature", "steps": 1}, "'curriculum_temperature'"),
        (Weight, {"kind": "linear", "initial": 1, "final": 0, "steps": 0}, "greater than 0"),
        (
            Weight,
            {"kind": "warm_up", "target": -1, "steps": 1},
            "at least 0 at every step, received 'warm_up' from -1 to 0",
        ),
        (Weight, {"kind": 3}, "'3'"),
        (Weight, {"steps": 3}, "Unable to extract tag"),
        (Share, {"kind": "fading_weight", "warm_up_steps": 1}, "'fading_weight'"),
        (Share, {"kind": "constant", "value": 1.5}, "from 0 to 1 at every step, received 'constant' from 1.5 to 1.5"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(section, values, told):
    with pytest.raises(pydantic.ValidationError, match=told):
        a(section, values)


def test_recipes_offer_the_draws_and_dtypes_that_there_are():
    fields = SoftTargets.model_fields
    assert get_args(fields["draw"].annotation) == DRAWS
    assert get_args(fields["dtype"].annotation) == DTYPES


def test_what_adapts_is_a_temperature_or_a_weight_by_its_class():
    for sections, base in (
        (ADAPTIVE_TEMPERATURES, schedules.AdaptiveTemperature),
        (ADAPTIVE_WEIGHTS, schedules.AdaptiveWeight),
    ):
        kinds = {section.model_fields["kind"].annotation.__args__[0] for section in sections}
        assert kinds == {kind for kind, schedule in KINDS.items() if issubclass(schedule, base)}
