"""Numbers of a recipe that may change while the student trains: schedules, adaptive temperatures and weights.

A section an entry of `tfdistill.schedules.catalogue.KINDS`, with the arguments and defaults of its class; durations are in
epochs. They are written out, since reading the classes would import TensorFlow to validate a recipe.
"""

from typing import Annotated, Literal, Union

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from tfdistill.recipes.schema_types import NUMBER, Count, Section, refuse

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Constant(Section):
    """The same value all the time."""

    kind: Literal["constant"] = Field(description="which schedule")
    value: float = Field(description="the value")

    def bounds(self):
        return self.value, self.value


class Linear(Section):
    """From one value to another at an even pace."""

    kind: Literal["linear"] = Field(description="which schedule")
    initial: float = Field(description="value at first")
    final: float = Field(description="value in the end")
    steps: Positive = Field(description="epochs that it takes")
    begin: NotNegative = Field(0.0, description="epochs before it starts to move")

    def bounds(self):
        return min(self.initial, self.final), max(self.initial, self.final)


class Cosine(Linear):
    """From one value to another, gently at both ends."""

    kind: Literal["cosine"] = Field(description="which schedule")


class Step(Section):
    """Jumps from value to value."""

    kind: Literal["step"] = Field(description="which schedule")
    boundaries: Annotated[tuple[NotNegative, ...], Field(strict=False)] = Field(
        description="epochs after which the next value holds, increasing"
    )
    values: Annotated[tuple[float, ...], Field(strict=False)] = Field(
        description="the values, one more than boundaries"
    )

    @model_validator(mode="after")
    def _values_fit(self):
        if any(later <= earlier for earlier, later in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise refuse("boundaries", f"expected numbers that increase, received {list(self.boundaries)}")
        if len(self.values) != len(self.boundaries) + 1:
            counts = f"{len(self.values)} values for {len(self.boundaries)} boundaries"
            raise refuse("values", f"expected one number more than boundaries, received {counts}")
        return self

    def bounds(self):
        return min(self.values), max(self.values)


class Annealing(Section):
    """The factor of annealing distillation: 1/max_temperature, 2/max_temperature, ..., 1."""

    kind: Literal["annealing"] = Field(description="which schedule")
    max_temperature: Count = Field(7, description="number of levels")
    steps_per_temperature: Positive = Field(description="epochs of each level")

    def bounds(self):
        return 1.0 / self.max_temperature, 1.0


def _tag_of(value):
    if isinstance(value, dict):
        return str(value["kind"]) if "kind" in value else None
    return value.kind if isinstance(value, Section) else NUMBER


def _number_or(number, *kinds):
    """The type of a number that may be one of these mappings instead; a mistake is told of the one that was meant."""
    members = [Annotated[kind, Tag(kind.model_fields["kind"].annotation.__args__[0])] for kind in kinds]
    return Annotated[Union[(Annotated[number, Tag(NUMBER)], *members)], Discriminator(_tag_of)]


PLAIN = (Constant, Linear, Cosine, Step, Annealing)
Plain = _number_or(float, *PLAIN)


class WarmUp(Section):
    """Grows from 0, for weights and shares."""

    kind: Literal["warm_up"] = Field(description="which schedule")
    target: Plain = Field(description="value in the end, or a schedule of it")
    steps: Positive = Field(description="epochs that it takes")

    def bounds(self):
        lowest, highest = _bounds(self.target)
        return min(0.0, lowest), max(0.0, highest)


def _bounds(value):
    return value.bounds() if hasattr(value, "bounds") else (value, value)


def _above_zero(value):
    if isinstance(value, PLAIN) and value.bounds()[0] <= 0:
        raise refuse("", f"expected values above 0 at every step, received {_range(value)}")
    return value


def _not_negative(value):
    if isinstance(value, (*PLAIN, WarmUp)) and value.bounds()[0] < 0:
        raise refuse("", f"expected values of at least 0 at every step, received {_range(value)}")
    return value


def _within_one(value):
    if isinstance(value, (*PLAIN, WarmUp)) and not 0 <= value.bounds()[0] <= value.bounds()[1] <= 1:
        raise refuse("", f"expected values from 0 to 1 at every step, received {_range(value)}")
    return value


def _range(value):
    lowest, highest = value.bounds()
    return f"{value.kind!r} from {lowest:g} to {highest:g}"


PlainTemperature = Annotated[_number_or(Positive, *PLAIN), AfterValidator(_above_zero)]


class CurriculumTemperature(Section):
    """For temperatures: learned against the student, from easy to hard (CTKD)."""

    kind: Literal["curriculum_temperature"] = Field(description="which adaptive temperature")
    steps: Positive = Field(description="epochs until the gradient is fully reversed")
    initial: float = Field(1.0, description="what is learned, at the start")
    lowest: Positive = Field(1.0, description="the temperature stays above this")
    span: Positive = Field(20.0, description="how far above lowest it may go")


class _PerExampleTemperature(Section):
    kind: str
    base: PlainTemperature = Field(description="temperature of an average example")
    beta: float = Field(1.0, description="how far the temperature moves for a difference of 1 in the example's weight")
    lowest: Positive = Field(1.0, description="no example's temperature is below this")

    @model_validator(mode="after")
    def _base_above_lowest(self):
        if _bounds(self.base)[0] < self.lowest:
            lowest = f"lowest ({self.lowest:g}), received {_bounds(self.base)[0]:g}"
            raise refuse("base", f"expected a temperature that is never below {lowest}")
        return self


class FocalTemperature(_PerExampleTemperature):
    """For temperatures: lower where the student disagrees with the teacher (flsw)."""

    kind: Literal["focal_temperature"] = Field(description="which adaptive temperature")
    gamma: NotNegative = Field(2.0, description="the greater, the more only the worst examples count")


class ConfidenceTemperature(_PerExampleTemperature):
    """For temperatures: lower where the student is unsure (cwsm)."""

    kind: Literal["confidence_temperature"] = Field(description="which adaptive temperature")


class UncertaintyWeight(Section):
    """For weights of losses: learned, the more uncertain a loss the less it counts."""

    kind: Literal["uncertainty_weight"] = Field(description="which adaptive weight")
    initial: float = Field(0.0, description="logarithm of the variance at the start")


class FadingWeight(Section):
    """For weights of losses: fades as the student catches up with the teacher."""

    kind: Literal["fading_weight"] = Field(description="which adaptive weight")
    warm_up_steps: Positive = Field(description="epochs over which the loss's level is measured, the weight being 1")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.99, description="of the loss's moving average")
    floor: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="part of the level at which it is 0")


ADAPTIVE_TEMPERATURES = (CurriculumTemperature, FocalTemperature, ConfidenceTemperature)
ADAPTIVE_WEIGHTS = (UncertaintyWeight, FadingWeight)
SCHEDULES = (*PLAIN, WarmUp, *ADAPTIVE_TEMPERATURES, *ADAPTIVE_WEIGHTS)

Temperature = Annotated[_number_or(Positive, *PLAIN, *ADAPTIVE_TEMPERATURES), AfterValidator(_above_zero)]
Weight = Annotated[_number_or(NotNegative, *PLAIN, WarmUp, *ADAPTIVE_WEIGHTS), AfterValidator(_not_negative)]
Share = Annotated[_number_or(Annotated[float, Field(ge=0, le=1)], *PLAIN, WarmUp), AfterValidator(_within_one)]
Scale = Annotated[_number_or(Positive, *PLAIN, WarmUp), AfterValidator(_not_negative)]
