"""Knowledge distillation from the outputs of a model."""

import keras
from keras import ops

from tfdistill.losses.output_loss import OutputLoss, values_of
from tfdistill.losses.probabilities import as_logits, check_task
from tfdistill.losses.shapes import check_same_shape
from tfdistill.losses.softened import softened_crossentropy, softened_kl_divergence
from tfdistill.losses.symbolic import is_functional, model_output


@keras.saving.register_keras_serializable(package="tfdistill")
class LogitsDistillation(OutputLoss):
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
        temperature: positive number.
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

    def __init__(self, temperature=3.0, loss="kl_divergence", task="auto", from_logits=True, teacher_from_logits=None):
        super().__init__(loss)
        if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not temperature > 0.0:
            raise ValueError(f"`temperature` must be a positive number. Received: temperature={temperature!r}")
        self.temperature = temperature
        self.task = check_task(task)
        self.from_logits = from_logits
        self.teacher_from_logits = teacher_from_logits
        for function in keras.tree.flatten(self._functions):
            _task_of(function, task)

    def validate_model_compatibility(self, teacher, student):
        """Raises `ValueError` where the outputs of two functional models differ in structure or shape."""
        if is_functional(teacher) and is_functional(student):
            teacher_output, student_output = model_output(teacher), model_output(student)
            self.validate_outputs(teacher_output, student_output)
            for one, other in zip(keras.tree.flatten(teacher_output), keras.tree.flatten(student_output), strict=True):
                check_same_shape(one, other, "output")

    def compare(self, loss, teacher, student):
        task = _task_of(loss, self.task)
        teacher_from_logits = self.from_logits if self.teacher_from_logits is None else self.teacher_from_logits
        check_same_shape(teacher, student, "outputs")
        teacher = ops.stop_gradient(as_logits(teacher, task, teacher_from_logits))
        student = as_logits(student, task, self.from_logits)
        if _is(loss, keras.losses.kl_divergence, keras.losses.KLDivergence):
            return softened_kl_divergence(teacher, student, self.temperature, task)
        if _is_crossentropy(loss):
            return softened_crossentropy(teacher, student, self.temperature, task)
        return values_of(loss, teacher / self.temperature, student / self.temperature) * self.temperature**2

    def get_config(self):
        return {
            "temperature": self.temperature,
            **super().get_config(),
            "task": self.task,
            "from_logits": self.from_logits,
            "teacher_from_logits": self.teacher_from_logits,
        }


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
