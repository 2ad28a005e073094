"""Temperatures by example: lower than the batch's where the student needs a sharper word."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_not_negative, check_number, check_positive
from tfdistill.schedules.schedule import bounds_of, deserialize, is_schedule, serialize, value_at
from tfdistill.schedules.temperature import AdaptiveTemperature, check_temperature


class PerExampleTemperature(AdaptiveTemperature):
    """A temperature an example: τ = max(base + beta (mean(w) - w), lowest), with weights w that a subclass defines."""

    def __init__(self, base, beta, lowest):
        self.base = check_temperature(base, "base")
        if isinstance(self.base, AdaptiveTemperature):
            raise ValueError(f"`base` must be a positive number or a schedule. Received: base={base!r}")
        self.beta = check_number("beta", beta)
        self.lowest = check_positive("lowest", lowest)
        bounds = bounds_of(self.base)
        if bounds is not None and bounds[0] < self.lowest:
            raise ValueError(f"`base` must not be below `lowest`. Received: base={base!r}, lowest={lowest!r}")

    def resolve(self, step, teacher_logits, student_logits, task="auto"):
        teacher_logits, student_logits = (
            ops.stop_gradient(ops.cast(logits, "float32")) for logits in (teacher_logits, student_logits)
        )
        binary = task == "binary" or (task == "auto" and student_logits.shape[-1] == 1)
        weights = self.weights_of(teacher_logits, student_logits, binary)
        return ops.maximum(value_at(self.base, step) + self.beta * (ops.mean(weights) - weights), self.lowest)

    def weights_of(self, teacher_logits, student_logits, binary):
        """Returns w of each example, float32 `[batch, ...]`, for float32 logits `[batch, ..., k]`."""
        raise NotImplementedError

    def get_config(self):
        return {"base": serialize(self.base), "beta": self.beta, "lowest": self.lowest}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "base": deserialize(config["base"])})

    def __repr__(self):
        base = repr(self.base) if is_schedule(self.base) else f"{self.base:g}"
        return f"{type(self).__name__}(base={base}, beta={self.beta:g})"


@keras.saving.register_keras_serializable(package="tfdistill")
class FocalTemperature(PerExampleTemperature):
    """A lower temperature where the student disagrees with the teacher (flsw, focal loss style weights).

        τ = max(base + beta (mean(w) - w), lowest),    w = (1 - cos(z_s, z_t))^gamma

    with the mean over the batch, and no gradient through τ. The cosine is that of the logits as they are, so it matters
    that they are logits and not log-probabilities, which are all negative. It is 0 where all logits are 0, and classes
    at -inf drop out.

    One logit has no direction but its sign. For a binary task the cosine is that between the two distributions
    (p, 1 - p) instead: w is 0 where they agree, 1 where each is sure of another outcome; w is averaged over the labels
    of a multi-label task.

    Args:
        base: the temperature τ0 of an average example: a positive number or a schedule.
        beta: how far τ moves for a difference of 1 in w.
        gamma: not negative; the greater it is, the more only the worst examples count.
        lowest: the floor of τ, positive. 1 leaves the teacher's word as it is.

    Raises:
        ValueError: for an argument of the wrong kind, a `base` below `lowest`, and a schedule without a step.

    Example: the student agrees with the first example and not with the second, w = 0 and 1:

    >>> import keras
    >>> teacher, student = keras.ops.array([[1.0, 0.0], [0.0, 1.0]]), keras.ops.array([[1.0, 0.0], [1.0, 0.0]])
    >>> FocalTemperature(4.0, beta=2.0).resolve(None, teacher, student).numpy()  # 4 + 2 (0.5 - w)
    array([5., 3.], dtype=float32)

    Reference: Wen, Lai and Qian, "Preparing Lessons: Improve Knowledge Distillation with Better Supervision", 2019,
    arXiv 1911.07471; in this form in TextBrewer.
    """

    def __init__(self, base, beta=1.0, gamma=2.0, lowest=1.0):
        super().__init__(base, beta, lowest)
        self.gamma = check_not_negative("gamma", gamma)

    def weights_of(self, teacher_logits, student_logits, binary):
        if binary:
            teacher, student = (
                ops.stack([ops.sigmoid(logits), ops.sigmoid(-logits)], axis=-1)
                for logits in (teacher_logits, student_logits)
            )
        else:
            kept = ops.isfinite(teacher_logits) & ops.isfinite(student_logits)
            teacher, student = (ops.where(kept, logits, 0.0) for logits in (teacher_logits, student_logits))
        # Rounding may take a cosine past 1, where the power is not defined.
        weights = ops.maximum(1.0 - ops.sum(_unit(teacher) * _unit(student), axis=-1), 0.0) ** self.gamma
        return ops.mean(weights, axis=-1) if binary else weights

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="tfdistill")
class ConfidenceTemperature(PerExampleTemperature):
    """A lower temperature where the student is unsure (cwsm, confidence weighted by student max).

        τ = max(base + beta (mean(w) - w), lowest),    w = 1 / max_k softmax(z_s)_k

    with the mean over the batch, and no gradient through τ. w goes from 1 (sure) to the number of classes k (no idea),
    so a `beta` that suits ten classes is large for a thousand. For a binary task the maximum is that of p and 1 - p, and
    w is averaged over the labels of a multi-label task.

    Args:
        base: the temperature τ0 of an average example: a positive number or a schedule.
        beta: how far τ moves for a difference of 1 in w.
        lowest: the floor of τ, positive. 1 leaves the teacher's word as it is.

    Raises:
        ValueError: for an argument of the wrong kind, a `base` below `lowest`, and a schedule without a step.

    Example: a student with logits 0 and 0 has no idea, w = 2:

    >>> import keras
    >>> student = keras.ops.array([[0.0, 0.0], [50.0, 0.0]])
    >>> ConfidenceTemperature(4.0).resolve(None, student, student).numpy()  # 4 + 1.5 - w
    array([3.5, 4.5], dtype=float32)

    Reference: Wen, Lai and Qian, "Preparing Lessons: Improve Knowledge Distillation with Better Supervision", 2019,
    arXiv 1911.07471; in this form in TextBrewer (which adds 0.001 to the maximum).
    """

    def __init__(self, base, beta=1.0, lowest=1.0):
        super().__init__(base, beta, lowest)

    def weights_of(self, teacher_logits, student_logits, binary):
        if binary:
            return ops.mean(1.0 / ops.sigmoid(ops.abs(student_logits)), axis=-1)
        return 1.0 / ops.max(ops.softmax(student_logits), axis=-1)


def _unit(vectors):
    # Scaled by the largest entry first, so that squares neither overflow nor vanish.
    scaled = ops.divide_no_nan(vectors, ops.max(ops.abs(vectors), axis=-1, keepdims=True))
    return ops.divide_no_nan(scaled, ops.sqrt(ops.sum(scaled**2, axis=-1, keepdims=True)))
