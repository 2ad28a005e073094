"""What the losses that compare outputs one by one have in common."""

import keras

from tfdistill.losses.reduction import reduce_loss


class OutputLoss(keras.distillation.DistillationLoss):
    """Compares each teacher output with the student's and adds the losses up.

    A subclass defines `compare(loss, teacher, student)`, which returns the values `[batch, ...]` of one output under
    one of the losses. It works under `tfdistill.Distiller` and under `keras.distillation.Distiller` (which passes no
    sample weights).

    Args:
        loss: a Keras loss name, function or `keras.losses.Loss`, or a structure of them like the outputs, with `None`
            for an output to skip. One that is no structure serves every output.

    Raises:
        ValueError: for an unknown name, or where every loss is `None`.
    """

    def __init__(self, loss):
        self.loss = loss
        self._functions = keras.tree.map_structure(keras.losses.get, loss)
        if all(function is None for function in keras.tree.flatten(self._functions)):
            raise ValueError(f"`loss` must contain at least one loss that is not None. Received: loss={loss!r}")

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises `ValueError` unless teacher outputs, student outputs and a nested `loss` have the same structure."""
        _check_same_structure(teacher_outputs, student_outputs, "Teacher outputs", "student outputs")
        if keras.tree.is_nested(self._functions):
            _check_same_structure(self._functions, student_outputs, "A nested `loss`", "the outputs")

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, **kwargs):
        """Returns the scalar loss of a batch.

        Args:
            teacher_outputs, student_outputs: tensors, or equal structures of tensors, of the same shapes.
            sample_weight: weights of the examples, or a structure of weights like the outputs. The loss is
                `Σ w_i v_i / n` (see `reduce_loss`); a `keras.losses.Loss` keeps the reduction it was made with.
        """
        self.validate_outputs(teacher_outputs, student_outputs)
        if keras.tree.is_nested(sample_weight):
            _check_same_structure(sample_weight, student_outputs, "Nested `sample_weight`", "the outputs")
        students = keras.tree.flatten(student_outputs)
        total = 0.0
        for function, teacher, student, weight in zip(
            _for_each_output(self._functions, students),
            keras.tree.flatten(teacher_outputs),
            students,
            _for_each_output(sample_weight, students),
            strict=True,
        ):
            if function is not None:
                total += reduce_loss(
                    self.compare(function, teacher, student),
                    sample_weight=weight,
                    mask=getattr(student, "_keras_mask", None),
                    reduction=getattr(function, "reduction", "sum_over_batch_size"),
                )
        return total

    def get_config(self):
        return {"loss": keras.saving.serialize_keras_object(self.loss)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def values_of(loss, teacher, student):
    """The unreduced values of a Keras loss: a function returns them, a `keras.losses.Loss` has them in `call`."""
    return (loss.call if isinstance(loss, keras.losses.Loss) else loss)(teacher, student)


def _for_each_output(values, outputs):
    return keras.tree.flatten(values) if keras.tree.is_nested(values) else [values] * len(outputs)


def _check_same_structure(first, second, first_name, second_name):
    first, second = keras.tree.lists_to_tuples(first), keras.tree.lists_to_tuples(second)
    try:
        keras.tree.assert_same_structure(first, second)
    except (ValueError, TypeError) as error:
        first, second = (keras.tree.map_structure(lambda _: "*", structure) for structure in (first, second))
        raise ValueError(
            f"{first_name} and {second_name} must have the same structure. Received: {first} and {second}"
        ) from error
