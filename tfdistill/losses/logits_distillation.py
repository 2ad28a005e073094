"""Knowledge distillation from the outputs of a model."""

import keras

from tfdistill.losses.output_loss import FunctionLoss, values_of
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.softened import softened, softened_crossentropy, softened_kl_divergence


@keras.saving.register_keras_serializable(package="tfdistill")
class LogitsDistillation(FunctionLoss, ResponseLoss):
    """The student learns the teacher's softened output distribution.

    With teacher logits t, student logits s and temperature T:

    | `loss`                                               | categorical                        | binary               |
    |------------------------------------------------------|------------------------------------|----------------------|
    | `"kl_divergence"`                                    | `T² KL(softmax(t/T), softmax(s/T))`| the same of sigmoids |
    | `"categorical_crossentropy"`, `"binary_crossentropy"`| `T² H(softmax(t/T), softmax(s/T))` | the same of sigmoids |
    | any other ℓ, such as `"mse"`                         | `T² ℓ(t/T, s/T)`, on logits        | the same             |

    Everything is computed in float32 and, for the distributions, in log space, whatever the dtype of the outputs. T²
    keeps the gradient's size as T changes. KL and cross-entropy differ by the teacher's entropy: the same gradient, but
    only KL is zero where the student matches. With `"mse"` the T² cancels and T has no effect.

    The loss of a batch is the mean over the examples (and over time steps or labels where there are any) of the sum
    over the classes; with `sample_weight` it is `Σ w_i v_i / n`, as Keras's `sum_over_batch_size`.

    Takes the arguments of `keras.distillation.LogitsDistillation` and two differences matter: there the default
    `"kl_divergence"` compares raw logits, without softmax and T², and sample weights are ignored.

    Args:
        temperature: positive number, or a schedule or an adaptive temperature of `tfdistill.schedules`.
        loss: a Keras loss name, function or `keras.losses.Loss`; or, for several outputs, a structure of them with
            `None` for an output to skip. One alone serves all outputs. `keras.losses.KLDivergence`,
            `CategoricalCrossentropy` and `BinaryCrossentropy` mean the same as their names, and keep their reduction.
        task: `"categorical"` (softmax over the last dimension), `"binary"` (a sigmoid an entry, also for several
            labels), or `"auto"`: binary where the last dimension is 1 or the loss is `"binary_crossentropy"`.
        from_logits: whether the student's outputs are logits. If False they are probabilities, and logits are recovered
            from them (see `logits_from_probabilities`).
        teacher_from_logits: the same for the teacher; `None` means like the student.

    Raises:
        ValueError: for a temperature that is not a positive number, an unknown loss or task, a loss that contradicts
            the task, and outputs whose shapes differ.

    Example:

    >>> import keras
    >>> loss = LogitsDistillation(temperature=2.0)
    >>> teacher_logits, student_logits = keras.ops.array([[2.0, 0.0]]), keras.ops.array([[0.0, 0.0]])
    >>> round(float(loss.compute_loss(teacher_logits, student_logits)), 4)  # 4 * 0.110944
    0.4438

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531.
    """

    def __init__(
        self,
        temperature=3.0,
        loss="kl_divergence",
        task="auto",
        from_logits=True,
        teacher_from_logits=None,
        **kwargs,
    ):
        super().__init__(
            loss=loss,
            temperature=temperature,
            task=task,
            from_logits=from_logits,
            teacher_from_logits=teacher_from_logits,
            **kwargs,
        )
        for function in keras.tree.flatten(self._functions):
            _task_of(function, task)

    @property
    def tasks(self):
        return {_task_of(function, self.task) for function in keras.tree.flatten(self._functions)}

    def compare(self, loss, teacher, student, step=None):
        task = _task_of(loss, self.task)
        teacher, student, temperature = self.softening(teacher, student, step, task)
        if _is(loss, keras.losses.kl_divergence, keras.losses.KLDivergence):
            return softened_kl_divergence(teacher, student, temperature, task)
        if _is_crossentropy(loss):
            return softened_crossentropy(teacher, student, temperature, task)
        values = values_of(loss, softened(teacher, temperature), softened(student, temperature))
        return values * temperature**2


def _is(loss, function, loss_class):
    return loss is function or isinstance(loss, loss_class)


def _is_binary_crossentropy(loss):
    return _is(loss, keras.losses.binary_crossentropy, keras.losses.BinaryCrossentropy)


def _is_crossentropy(loss):
    categorical = _is(loss, keras.losses.categorical_crossentropy, keras.losses.CategoricalCrossentropy)
    return categorical or _is_binary_crossentropy(loss)


def _task_of(loss, task):
    """The task of one output, or `ValueError` where its loss cannot be meant so."""
    if _is(loss, keras.losses.sparse_categorical_crossentropy, keras.losses.SparseCategoricalCrossentropy):
        raise ValueError("`loss`: soft targets are distributions, not class numbers; use 'categorical_crossentropy'.")
    if _is_crossentropy(loss):
        if getattr(loss, "label_smoothing", 0.0) or getattr(loss, "axis", -1) != -1:
            raise ValueError(f"`loss`: label_smoothing and axis have no meaning for soft targets. Received: {loss!r}")
        binary = _is_binary_crossentropy(loss)
        if task == ("categorical" if binary else "binary"):
            raise ValueError(f"`loss` contradicts `task`. Received: loss={loss!r}, task={task!r}")
        return "binary" if binary else task
    return task
