"""Schedules by name, as recipes write them."""

import pytest

from tfdistill.schedules import Constant, Cosine, FadingWeight, FocalTemperature, StepSchedule, WarmUp, get
from tfdistill.schedules.catalogue import KINDS


def test_the_kinds_are_the_names_of_the_classes():
    assert list(KINDS) == [
        "constant",
        "linear",
        "cosine",
        "step",
        "warm_up",
        "annealing",
        "curriculum_temperature",
        "focal_temperature",
        "confidence_temperature",
        "uncertainty_weight",
        "fading_weight",
    ]


@pytest.mark.parametrize("value", [4, 0.5, None, Constant(1.0)])
def test_what_is_no_mapping_stays(value):
    assert get(value) is value


def test_a_mapping_becomes_a_schedule_and_stays_as_it_was():
    config = {"kind": "linear", "initial": 0, "final": 1, "steps": 100}
    assert get(config).get_config() == {"initial": 0, "final": 1, "steps": 100, "begin": 0}
    assert config["kind"] == "linear"


def test_a_mapping_within_a_mapping_is_built_too():
    schedule = get({"kind": "warm_up", "steps": 5, "target": {"kind": "cosine", "initial": 1, "final": 0, "steps": 20}})
    assert isinstance(schedule, WarmUp) and isinstance(schedule.target, Cosine)
    assert isinstance(get({"kind": "focal_temperature", "base": {"kind": "constant", "value": 4}}), FocalTemperature)


def test_durations_may_be_in_epochs():
    target = {"kind": "cosine", "initial": 1, "final": 0, "steps": 1.5, "begin": 0}
    schedule = get({"kind": "warm_up", "steps": 2, "target": target}, steps_per_epoch=30)
    assert (schedule.steps, schedule.target.steps, schedule.target.begin) == (60, 45, 0)
    steps = get({"kind": "step", "boundaries": [1, 2.5], "values": [1, 2, 3]}, steps_per_epoch=10)
    assert isinstance(steps, StepSchedule) and steps.boundaries == [10, 25] and steps.values == [1, 2, 3]
    assert get({"kind": "annealing", "steps_per_temperature": 2}, 10).get_config() == {
        "max_temperature": 7,
        "steps_per_temperature": 20,
    }
    fading = get({"kind": "fading_weight", "warm_up_steps": 0.001, "floor": 0.5}, steps_per_epoch=10)
    assert isinstance(fading, FadingWeight) and fading.warm_up_steps == 1 and fading.floor == 0.5


@pytest.mark.parametrize(
    "config, message",
    [
        ({"kind": "linaer"}, r"`kind` must be one of constant, linear,.*kind='linaer'. Did you mean 'linear'\?"),
        ({"kind": "uncertainty"}, "Did you mean 'uncertainty_weight'"),
        ({"initial": 0}, "`kind` must be one of .*kind=None"),
        ({"kind": "linear", "initial": 0, "final": 1, "step": 5}, r"'linear' has no argument `step`.*mean 'steps'\?"),
        ({"kind": "linear", "initial": 0, "dtype": "x"}, "it has initial, final, steps, begin"),
        ({"kind": "linear", "initial": 0}, "'linear' misses `final` and `steps`"),
        ({"kind": "linear", "initial": 0, "final": 1, "steps": -5}, "`steps` must be a positive number"),
        ({"kind": "linear", "initial": 0, "final": 1, "steps": "5"}, "`steps` must be a positive number"),
        ({"kind": "fading_weight", "warm_up_steps": 1, "name": "w"}, "no argument `name`"),
    ],
)
def test_mistakes_are_named(config, message):
    for steps_per_epoch in (None, 10):
        with pytest.raises(ValueError, match=message):
            get(config, steps_per_epoch)
