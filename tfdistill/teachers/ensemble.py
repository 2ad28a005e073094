"""Several teachers that speak as one."""

import math

import keras
import tensorflow as tf
from keras import ops

from tfdistill._features import PREDICTION, FeatureExtractor
from tfdistill.losses.probabilities import as_logits, check_task
from tfdistill.teachers.forms import as_teacher
from tfdistill.teachers.mixing import mean_logits, mean_probabilities
from tfdistill.teachers.weighting import confidence_weights, entropy_weights

COMBINE = ("logits", "probabilities", "random")
ADAPTIVE = ("entropy", "confidence")


class Ensemble:
    """A teacher made of several teachers.

    With the teachers' logits z_k, weights w_k that add up to 1, and the temperature T, it answers:

    | `combine`         | answer                                                                                      |
    |-------------------|---------------------------------------------------------------------------------------------|
    | `"logits"`        | `Σ_k w_k z_k`                                                                                |
    | `"probabilities"` | logits whose softmax, or sigmoid, at T is `Σ_k w_k softmax(z_k / T)` (`mean_probabilities`) |
    | `"random"`        | `z_k` of one teacher k, drawn with probability w_k anew for every batch; only that one runs |

    The weights adapt to the example with `weights="entropy"`, the surer teacher counting more (`entropy_weights`), and
    with `weights="confidence"`, the one that knows the label better (`confidence_weights`, CA-MKD), both at temperature
    1. Confidence needs labels, which a `Distiller` hands on; a row without a usable label (none at all, negative, NaN,
    or beyond the classes) weighs all teachers equally. With `combine="probabilities"` at the temperature of the loss,
    the student's gradient is that of CA-MKD's `Σ_k w_k KL(teacher k, student)`.

    Args:
        teachers: list of teachers, each in any form that `as_teacher` takes, with one output each, all of one shape
            `[batch, ..., classes]` (`[batch]` means one class). From a dict of inputs a functional model gets those that
            it declares.
        combine: `"logits"`, `"probabilities"` or `"random"`.
        weights: `None` for equal weights, a number of at least 0 for each teacher, `"entropy"` or `"confidence"`.
        temperature: positive number T for `combine="probabilities"`.
        task: `"auto"`, `"binary"` or `"categorical"`, as in `tfdistill.losses.LogitsDistillation`.
        from_logits: whether the teachers answer in logits. If False, in probabilities. The ensemble answers in logits
            in any case: give a loss with from_logits=False the argument teacher_from_logits=True.
        seed: for `combine="random"`: an integer, or `None` for a draw that `keras.utils.set_random_seed` governs.

    Layers of a teacher are named "k/layer", k counting from 0 and the rest as for that teacher alone:
    `FeatureDistillation("mse", "1/encoder/dense", "hidden")`. All teachers run then, each once, also with "random".

    Raises:
        ValueError: for arguments as above that do not fit; when called, for outputs that are not one tensor a teacher,
            or differ in shape.

    Example:

    >>> import keras
    >>> sure, unsure = (lambda x: x * 2.0), (lambda x: x * 0.0)
    >>> Ensemble([sure, unsure], weights=[3, 1])(keras.ops.array([[4.0, 0.0]])).numpy().tolist()
    [[6.0, 0.0]]
    >>> Ensemble([sure, unsure], weights="entropy")(keras.ops.array([[50.0, 0.0]])).numpy().tolist()
    [[100.0, 0.0]]

    References: You et al., "Learning from Multiple Teacher Networks", KDD 2017 (means of logits or probabilities).
    Zhang, Chen and Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", 2022, arXiv 2201.00007.
    """

    def __init__(
        self,
        teachers,
        combine="logits",
        weights=None,
        temperature=1.0,
        task="auto",
        from_logits=True,
        seed=None,
    ):
        if not isinstance(teachers, (list, tuple)) or not teachers or any(t is None for t in teachers):
            raise ValueError(f"`teachers` must be a list of one teacher or more. Received: teachers={teachers!r}")
        if combine not in COMBINE:
            raise ValueError(f"`combine` must be one of {', '.join(map(repr, COMBINE))}. Received: combine={combine!r}")
        if combine == "random" and isinstance(weights, str):
            raise ValueError(
                "`weights` must be numbers or None with combine='random', which draws a teacher for the whole batch. "
                f"Received: weights={weights!r}"
            )
        if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not temperature > 0.0:
            raise ValueError(f"`temperature` must be a positive number. Received: temperature={temperature!r}")
        self.teachers = tuple(as_teacher(teacher) for teacher in teachers)
        self.combine = combine
        self.weights = weights if isinstance(weights, str) and weights in ADAPTIVE else self._normalised(weights)
        self.temperature = temperature
        self.task = check_task(task)
        self.from_logits = from_logits
        self._seeds = keras.random.SeedGenerator(seed) if combine == "random" else None
        self._extractors = self._readers([])

    @property
    def supports_jit(self):
        """Whether all teachers are known to compile under XLA."""
        return all(extractor.supports_jit for extractor in self._extractors)

    @property
    def columns(self):
        """The columns of the inputs that hold cached answers of teachers, which a student must not see."""
        return tuple(dict.fromkeys(column for teacher in self.teachers for column in _columns(teacher)))

    def __call__(self, inputs, training=False, labels=None):
        """Returns float32 logits `[batch, ..., classes]`.

        Args:
            inputs: what the teachers take.
            training: passed on to the teachers that take it.
            labels: the hard labels, for `weights="confidence"` and for teachers that take them; or `None`.
        """
        if self.combine != "random":
            predictions = [self._ask(k, inputs, training, labels)[PREDICTION] for k in range(len(self.teachers))]
            return self._mix(predictions, labels)
        if len(self.teachers) == 1:
            return self._logits(0, self._ask(0, inputs, training, labels)[PREDICTION])
        branches = [
            lambda k=k: self._logits(k, self._ask(k, inputs, training, labels)[PREDICTION])
            for k in range(len(self.teachers))
        ]
        return tf.switch_case(self._draw(), branches)

    def feature_outputs(self, inputs, names, training=False, labels=None):
        """Returns `{None: what a call returns, name: what that layer of a teacher computed}` of one pass of each teacher.

        Args:
            inputs, training, labels: as for a call.
            names: names "k/layer", a teacher's own layer objects, or pairs of either and a reading.

        Raises:
            ValueError: for a name without a teacher's number, and a layer that its teacher does not have.
        """
        places = {name: self._place(name) for name in names}
        wanted = [list(dict.fromkeys(ref for k, ref in places.values() if k == n)) for n in range(len(self.teachers))]
        extractors = self._readers(wanted)
        outputs = [self._ask(k, inputs, training, labels, extractors) for k in range(len(self.teachers))]
        predictions = [output[PREDICTION] for output in outputs]
        if self.combine == "random":
            prediction = ops.take(self._stacked(predictions), self._draw(), axis=0)
        else:
            prediction = self._mix(predictions, labels)
        return {PREDICTION: prediction, **{name: outputs[k][reference] for name, (k, reference) in places.items()}}

    def __repr__(self):
        return f"Ensemble({len(self.teachers)} teachers, combine={self.combine!r}, weights={self.weights!r})"

    def _normalised(self, weights):
        weights = [1.0] * len(self.teachers) if weights is None else weights
        if (
            not isinstance(weights, (list, tuple))
            or len(weights) != len(self.teachers)
            or not all(math.isfinite(weight) and weight >= 0.0 for weight in weights)
            or not sum(weights) > 0.0
        ):
            raise ValueError(
                f"`weights` must be None, {', '.join(map(repr, ADAPTIVE))}, or a number of at least 0 for each of the "
                f"{len(self.teachers)} teachers, not all 0. Received: weights={weights!r}"
            )
        return tuple(float(weight) / sum(weights) for weight in weights)

    def _readers(self, references):
        references = references or [[]] * len(self.teachers)
        return [FeatureExtractor(*pair, "teacher") for pair in zip(self.teachers, references, strict=True)]

    def _ask(self, k, inputs, training, labels, extractors=None):
        hidden = set(self.columns) - set(_columns(self.teachers[k]))
        return (extractors or self._extractors)[k](inputs, training, hidden, labels=labels)

    def _draw(self):
        bounds = [sum(self.weights[: k + 1]) for k in range(len(self.teachers) - 1)]
        draw = keras.random.uniform((), seed=self._seeds)
        return ops.sum(ops.cast(draw >= ops.convert_to_tensor(bounds, "float32"), "int32"))

    def _mix(self, predictions, labels):
        logits = self._stacked(predictions)
        if self.weights == "entropy":
            weights = entropy_weights(logits, self.task)
        elif self.weights == "confidence":
            weights = confidence_weights(logits, labels, self.task)
        else:
            weights = ops.convert_to_tensor(self.weights, "float32")
        if self.combine == "logits":
            return mean_logits(logits, weights)
        return mean_probabilities(logits, weights, self.temperature, self.task)

    def _stacked(self, predictions):
        logits = [self._logits(k, prediction) for k, prediction in enumerate(predictions)]
        for k, other in enumerate(logits):
            if not other.shape.is_compatible_with(logits[0].shape):
                raise ValueError(
                    f"The teachers of an ensemble must answer in one shape. Received: teacher 0 {logits[0].shape}, "
                    f"teacher {k} {other.shape}"
                )
        return ops.stack(logits)

    def _logits(self, k, prediction):
        if isinstance(prediction, (dict, list, tuple)):
            kind = type(prediction).__name__
            raise ValueError(
                f"A teacher of an ensemble must have one output. Received: a {kind} of {len(prediction)} from teacher "
                f"{k}. Pass a callable that picks one: lambda inputs: teacher(inputs)[...]"
            )
        prediction = ops.convert_to_tensor(prediction)
        prediction = prediction[:, None] if len(prediction.shape) == 1 else prediction
        return as_logits(prediction, self.task, self.from_logits)

    def _place(self, name):
        """(Number of the teacher, the layer as that teacher's extractor takes it) of a name of a feature."""
        if isinstance(name, tuple):
            k, reference = self._place(name[0])
            return k, (reference, *name[1:])
        if not isinstance(name, str):
            for k, teacher in enumerate(self.teachers):
                if hasattr(teacher, "_flatten_layers") and any(layer is name for layer in teacher._flatten_layers()):
                    return k, name
        number, _, reference = str(name).partition("/")
        if not reference or not number.isdecimal() or int(number) >= len(self.teachers):
            raise ValueError(
                f"A layer of an ensemble's teacher is named 'k/layer' with k from 0 to {len(self.teachers) - 1}. "
                f"Received: {name!r}"
            )
        return int(number), reference


def _columns(teacher):
    return getattr(teacher, "columns", ())
