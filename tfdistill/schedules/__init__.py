"""Schedules by training step, and temperatures and weights that follow the training."""

from tfdistill.schedules.annealing_schedule import AnnealingSchedule
from tfdistill.schedules.catalogue import get
from tfdistill.schedules.constant import Constant
from tfdistill.schedules.cosine import Cosine
from tfdistill.schedules.curriculum_temperature import CurriculumTemperature
from tfdistill.schedules.fading_weight import FadingWeight
from tfdistill.schedules.linear import Linear
from tfdistill.schedules.per_example_temperature import ConfidenceTemperature, FocalTemperature
from tfdistill.schedules.schedule import Schedule, bounds_of, deserialize, serialize, value_at
from tfdistill.schedules.step_schedule import StepSchedule
from tfdistill.schedules.temperature import AdaptiveTemperature, check_temperature, resolve_temperature
from tfdistill.schedules.uncertainty_weight import UncertaintyWeight
from tfdistill.schedules.warm_up import WarmUp
from tfdistill.schedules.weight import AdaptiveWeight, check_share, check_weight, share_of, weigh

__all__ = [
    "AdaptiveTemperature",
    "AdaptiveWeight",
    "AnnealingSchedule",
    "ConfidenceTemperature",
    "Constant",
    "Cosine",
    "CurriculumTemperature",
    "FadingWeight",
    "FocalTemperature",
    "Linear",
    "Schedule",
    "StepSchedule",
    "UncertaintyWeight",
    "WarmUp",
    "bounds_of",
    "check_share",
    "check_temperature",
    "check_weight",
    "deserialize",
    "get",
    "resolve_temperature",
    "serialize",
    "share_of",
    "value_at",
    "weigh",
]
