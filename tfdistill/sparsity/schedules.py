"""When weights are pruned, and to what share of zeros."""

import keras
import tensorflow as tf


class PruningSchedule:
    """Says at every step of training whether masks are updated, and to what sparsity.

    Steps are forward passes in training; the first is step 1. A subclass defines `__call__(step)`, which returns
    (whether the masks are updated at this step, the share of zeros from 0 to below 1), tensors or Python values, and
    `get_config`. To be found when a model is loaded, decorate it with `keras.saving.register_keras_serializable`.

    >>> class EveryTenth(PruningSchedule):
    ...     def __call__(self, step):
    ...         return step % 10 == 0, 0.5
    ...     def get_config(self):
    ...         return {}
    """

    def __call__(self, step):
        """Returns (bool, float32) scalars for a step, an int64 scalar tensor."""
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(step)`")

    def get_config(self):
        """The arguments of the constructor."""
        raise NotImplementedError(f"{type(self).__name__} must define `get_config`")

    @classmethod
    def from_config(cls, config):
        if set(config) == {"class_name", "config"}:  # schedules written for TFMOT return this
            config = config["config"]
        return cls(**config)

    def _should_prune_in_step(self, step, begin_step, end_step, frequency):
        """Whether a step is begin_step or a multiple of the frequency after it, and not after end_step (-1: no end)."""
        step = tf.convert_to_tensor(step)
        in_range = (step >= begin_step) & ((step <= end_step) | tf.constant(end_step < 0))
        return in_range & (tf.math.floormod(step - begin_step, frequency) == 0)

    def _validate_step(self, begin_step, end_step, frequency, allow_negative_1):
        """Raises `ValueError` for steps that are no such, and for those among which masks would never be updated."""
        for name, value in (("begin_step", begin_step), ("end_step", end_step), ("frequency", frequency)):
            if isinstance(value, bool) or int(value) != value:
                raise ValueError(f"`{name}` must be a whole number of steps. Received: {name}={value!r}")
        if begin_step < 0:
            raise ValueError(f"`begin_step` must be 0 or more. Received: begin_step={begin_step}")
        if frequency <= 0:
            raise ValueError(f"`frequency` must be 1 or more. Received: frequency={frequency}")
        if end_step == -1 and allow_negative_1:
            return
        if end_step < 0:
            least = "-1 (no end) or more" if allow_negative_1 else "0 or more"
            raise ValueError(f"`end_step` must be {least}. Received: end_step={end_step}")
        if end_step < begin_step:
            raise ValueError(
                f"`end_step` must not be before `begin_step`: nothing would ever be pruned. Received: "
                f"begin_step={begin_step}, end_step={end_step}"
            )
        first = begin_step or frequency  # the first step of training is 1
        if end_step < first:
            raise ValueError(
                f"Nothing would ever be pruned: the first step of training is 1, and with begin_step={begin_step}, "
                f"frequency={frequency} masks are first updated at step {first}, after end_step={end_step}. "
                "Lower `frequency` or raise `end_step`."
            )

    def _validate_sparsity(self, sparsity, variable_name):
        """Raises `ValueError` for what is no share of zeros."""
        if not 0.0 <= sparsity < 1.0:
            raise ValueError(
                f"`{variable_name}` must be a share of zeros from 0 to below 1. Received: {variable_name}={sparsity}"
            )


@keras.saving.register_keras_serializable(package="tfdistill")
class ConstantSparsity(PruningSchedule):
    """The same sparsity at every update of the masks.

    Args:
        target_sparsity: share of zeros, from 0 to below 1.
        begin_step: the first step at which masks may be updated; the first step of training is 1.
        end_step: the last such step; -1 for no end.
        frequency: masks are updated at begin_step, begin_step + frequency, begin_step + 2 frequency, ...

    Raises:
        ValueError: for wrong values, and where no step of training would update the masks.

    >>> schedule = ConstantSparsity(0.5, begin_step=2, frequency=3)
    >>> [step for step in range(1, 10) if schedule(step)[0]]
    [2, 5, 8]
    """

    def __init__(self, target_sparsity, begin_step, end_step=-1, frequency=100):
        self._validate_step(begin_step, end_step, frequency, True)
        self._validate_sparsity(target_sparsity, "target_sparsity")
        self.target_sparsity = target_sparsity
        self.begin_step = begin_step
        self.end_step = end_step
        self.frequency = frequency

    def __call__(self, step):
        due = self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency)
        return due, tf.constant(self.target_sparsity, dtype="float32")

    def get_config(self):
        return {
            "target_sparsity": self.target_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }


@keras.saving.register_keras_serializable(package="tfdistill")
class PolynomialDecay(PruningSchedule):
    """A sparsity that grows from an initial to a final one, quickly at first and then ever more slowly.

        sparsity = final + (initial - final) (1 - f)^power,   f = (step - begin_step) / (end_step - begin_step)

    with f kept within 0 and 1.

    Args:
        initial_sparsity: share of zeros at `begin_step`, from 0 to below 1.
        final_sparsity: share of zeros at `end_step`.
        begin_step: the first step at which masks may be updated; the first step of training is 1.
        end_step: the last such step. If it is not a multiple of `frequency` after `begin_step`, the last update comes
            before it, and at somewhat less than the final sparsity.
        power: exponent.
        frequency: masks are updated at begin_step, begin_step + frequency, begin_step + 2 frequency, ...

    Raises:
        ValueError: for wrong values, and where no step of training would update the masks.

    >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100, frequency=50)
    >>> [round(float(schedule(step)[1]), 3) for step in (0, 50, 100)]
    [0.0, 0.7, 0.8]

    Reference: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
    2017, arXiv 1710.01878.
    """

    def __init__(self, initial_sparsity, final_sparsity, begin_step, end_step, power=3, frequency=100):
        self._validate_step(begin_step, end_step, frequency, False)
        if end_step == begin_step:
            raise ValueError(
                "`end_step` must be after `begin_step` for the sparsity to change between them; for one update use "
                f"ConstantSparsity. Received: begin_step={begin_step}, end_step={end_step}"
            )
        self._validate_sparsity(initial_sparsity, "initial_sparsity")
        self._validate_sparsity(final_sparsity, "final_sparsity")
        if power <= 0:
            raise ValueError(f"`power` must be positive. Received: power={power}")
        self.initial_sparsity = initial_sparsity
        self.final_sparsity = final_sparsity
        self.begin_step = begin_step
        self.end_step = end_step
        self.power = power
        self.frequency = frequency

    def __call__(self, step):
        step = tf.convert_to_tensor(step)
        share = tf.cast(step - self.begin_step, "float32") / (self.end_step - self.begin_step)
        left = 1 - tf.clip_by_value(share, 0.0, 1.0)
        sparsity = (self.initial_sparsity - self.final_sparsity) * tf.pow(left, self.power) + self.final_sparsity
        return self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency), sparsity

    def get_config(self):
        return {
            "initial_sparsity": self.initial_sparsity,
            "final_sparsity": self.final_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "power": self.power,
            "frequency": self.frequency,
        }
