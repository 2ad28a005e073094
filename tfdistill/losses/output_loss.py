"""What the losses that compare outputs one by one have in common."""

import keras

from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.reduction import reduce_loss
from tfdistill.losses.shapes import check_same_shape


class OutputLoss(DistillationLoss):
    """Compares each output of the teacher with the student's and adds the losses up.

    A subclass defines `values` (the usual case) or `output_loss`. A model with several outputs, a structure of tensors,
    is compared output by output.

    Attributes:
        reads_labels: whether `values` needs the hard labels.
    """

    reads_labels = False

    def values(self, teacher, student, labels=None, step=None):
        """Returns the float32 values `[batch, ...]` of one output, not yet reduced."""
        raise NotImplementedError

    def output_loss(self, teacher, student, sample_weight=None, labels=None, step=None):
        """Returns the scalar loss of one output."""
        return reduce_loss(
            self.values(teacher, student, labels=labels, step=step),
            sample_weight=sample_weight,
            mask=getattr(student, "_keras_mask", None),
        )

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises `ValueError` unless teacher and student outputs have the same structure."""
        check_same_structure(teacher_outputs, student_outputs, "Teacher outputs", "student outputs")

    def validate_shapes(self, teacher, student):
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            check_same_shape(one, other, "outputs")

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        """Returns the scalar loss of a batch.

        Args:
            teacher_outputs, student_outputs: tensors, or equal structures of tensors, of the same shapes.
            sample_weight: weights of the examples, or a structure of weights like the outputs. The loss is
                `Σ w_i v_i / n` (see `reduce_loss`).
            labels: the hard labels, one tensor or a structure of them like the outputs; read if `reads_labels`.
            step: number of the training step; only schedules read it.
        """
        self.validate_outputs(teacher_outputs, student_outputs)
        if keras.tree.is_nested(sample_weight):
            check_same_structure(sample_weight, student_outputs, "Nested `sample_weight`", "the outputs")
        labels = labels if self.reads_labels else None
        if keras.tree.is_nested(labels):
            check_same_structure(labels, student_outputs, "Nested labels", "the outputs")
        students = keras.tree.flatten(student_outputs)
        total = 0.0
        for compare, teacher, student, weight, label in zip(
            self._comparisons(students),
            keras.tree.flatten(teacher_outputs),
            students,
            for_each_output(sample_weight, students),
            for_each_output(labels, students),
            strict=True,
        ):
            if compare is not None:
                total += compare(teacher, student, sample_weight=weight, labels=label, step=step)
        return total

    def _comparisons(self, outputs):
        """What compares each output: a function like `output_loss`, or `None` to skip it."""
        return [self.output_loss] * len(outputs)


class FunctionLoss(OutputLoss):
    """Compares each output under a Keras loss, the same for all or one of its own for each.

    A subclass defines `compare(loss, teacher, student, step)`, which returns the values `[batch, ...]` of one output.

    Args:
        loss: a Keras loss name, function or `keras.losses.Loss`, or a structure of them like the outputs, with `None`
            for an output to skip. One that is no structure serves every output. A `keras.losses.Loss` keeps the
            reduction that it was made with.

    Raises:
        ValueError: for an unknown name, or where every loss is `None`.
    """

    def __init__(self, loss, **kwargs):
        super().__init__(**kwargs)
        # Beside Keras's tracking, which turns structures into its own kinds of list and dict.
        self.__dict__["loss"] = loss
        self.__dict__["_functions"] = keras.tree.map_structure(keras.losses.get, loss)
        if all(function is None for function in keras.tree.flatten(self._functions)):
            raise ValueError(f"`loss` must contain at least one loss that is not None. Received: loss={loss!r}")

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises `ValueError` unless teacher outputs, student outputs and a nested `loss` have the same structure."""
        super().validate_outputs(teacher_outputs, student_outputs)
        if keras.tree.is_nested(self._functions):
            check_same_structure(self._functions, student_outputs, "A nested `loss`", "the outputs")

    def _comparisons(self, outputs):
        def comparison(function):
            def compare(teacher, student, sample_weight, labels, step):
                return reduce_loss(
                    self.compare(function, teacher, student, step),
                    sample_weight=sample_weight,
                    mask=getattr(student, "_keras_mask", None),
                    reduction=getattr(function, "reduction", "sum_over_batch_size"),
                )

            return None if function is None else compare

        return [comparison(function) for function in for_each_output(self._functions, outputs)]

    def get_config(self):
        return {**super().get_config(), "loss": keras.saving.serialize_keras_object(self.loss)}


def values_of(loss, teacher, student):
    """The unreduced values of a Keras loss: a function returns them, a `keras.losses.Loss` has them in `call`."""
    return (loss.call if isinstance(loss, keras.losses.Loss) else loss)(teacher, student)


def for_each_output(values, outputs):
    """One value an output: the leaves of a structure, or the one value for all."""
    return keras.tree.flatten(values) if keras.tree.is_nested(values) else [values] * len(outputs)


def check_same_structure(first, second, first_name, second_name):
    """Raises `ValueError`, showing both structures, unless they are the same; lists and tuples are not told apart."""
    first, second = keras.tree.lists_to_tuples(first), keras.tree.lists_to_tuples(second)
    try:
        keras.tree.assert_same_structure(first, second)
    except (ValueError, TypeError) as error:
        first, second = (keras.tree.map_structure(lambda _: "*", structure) for structure in (first, second))
        raise ValueError(
            f"{first_name} and {second_name} must have the same structure. Received: {first} and {second}"
        ) from error
