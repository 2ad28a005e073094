"""Schedules, adaptive temperatures and weights by name, for recipes."""

import difflib
import inspect
import re

from tfdistill.schedules.annealing_schedule import AnnealingSchedule
from tfdistill.schedules.constant import Constant
from tfdistill.schedules.cosine import Cosine
from tfdistill.schedules.curriculum_temperature import CurriculumTemperature
from tfdistill.schedules.fading_weight import FadingWeight
from tfdistill.schedules.linear import Linear
from tfdistill.schedules.per_example_temperature import ConfidenceTemperature, FocalTemperature
from tfdistill.schedules.step_schedule import StepSchedule
from tfdistill.schedules.uncertainty_weight import UncertaintyWeight
from tfdistill.schedules.warm_up import WarmUp


def kind_of(schedule_class):
    """The name of a class in recipes: `WarmUp` is "warm_up", `StepSchedule` is "step"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", schedule_class.__name__).lower().removesuffix("_schedule")


KINDS = {
    kind_of(each): each
    for each in (
        Constant,
        Linear,
        Cosine,
        StepSchedule,
        WarmUp,
        AnnealingSchedule,
        CurriculumTemperature,
        FocalTemperature,
        ConfidenceTemperature,
        UncertaintyWeight,
        FadingWeight,
    )
}


def get(config, steps_per_epoch=None):
    """Returns what a plain mapping describes: a schedule, an adaptive temperature or an adaptive weight.

    Args:
        config: `{"kind": name, argument: value, ...}`, where a value may be such a mapping too. Anything that is no
            mapping is returned as it is.
        steps_per_epoch: if given, the durations (such as `steps` and `begin`) are in epochs, and are multiplied by it
            and rounded, to one step at least unless they are 0.

    Raises:
        ValueError: for an unknown kind or argument (names the nearest), a missing argument, and wrong values.

    >>> get({"kind": "linear", "initial": 0, "final": 1, "steps": 2}, steps_per_epoch=50)
    Linear(initial=0, final=1, steps=100, begin=0)
    >>> get(4.0)
    4.0
    """
    if not isinstance(config, dict):
        return config
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}.{_nearest(kind, KINDS)}")
    schedule_class = KINDS[kind]
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(schedule_class).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    for name in arguments:
        if name not in parameters:
            raise ValueError(
                f"{kind!r} has no argument `{name}`; it has {', '.join(parameters)}.{_nearest(name, parameters)}"
            )
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in arguments
    ]
    if missing:
        raise ValueError(f"{kind!r} misses {' and '.join(f'`{name}`' for name in missing)}. Received: {config}")
    arguments = {name: get(value, steps_per_epoch) for name, value in arguments.items()}
    if steps_per_epoch is not None:
        for name in schedule_class.durations:
            if name in arguments:
                arguments[name] = _in_steps(arguments[name], steps_per_epoch)
    return schedule_class(**arguments)


def _in_steps(epochs, steps_per_epoch):
    if isinstance(epochs, (list, tuple)):
        return [_in_steps(each, steps_per_epoch) for each in epochs]
    if isinstance(epochs, bool) or not isinstance(epochs, (int, float)):
        return epochs  # for the constructor to refuse
    steps = round(epochs * steps_per_epoch)
    return max(steps, 1) if epochs > 0 else steps


def _nearest(name, names):
    near = difflib.get_close_matches(str(name), names, n=2)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
