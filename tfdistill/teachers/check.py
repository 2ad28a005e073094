"""Looking at what a teacher says before a run depends on it."""

import numpy as np
import tensorflow as tf

from tfdistill.errors import UserError
from tfdistill.teachers.calling import call_teacher


def check_teacher_outputs(teacher, sample_inputs, units):
    """Runs the teacher on a few examples and raises unless its logits could teach the student.

    Args:
        teacher: a Keras model or a callable on a dict of tensors, such as what `load_teacher` returns.
        sample_inputs: {field: array `[n, ...]`}.
        units: number of logits that the student returns for an example.

    Raises:
        UserError: where the outputs are not `[n, units]` (names both shapes) or not all finite.

    >>> check_teacher_outputs(lambda x: x["age"][:, None], {"age": np.array([0.1, 0.2])}, units=1)
    """
    name = f"The teacher '{teacher.path}'" if hasattr(teacher, "path") else "The teacher"
    rows = len(next(iter(sample_inputs.values())))
    tensors = {name: tf.convert_to_tensor(values) for name, values in sample_inputs.items()}
    logits = np.asarray(call_teacher(teacher, tensors))
    if logits.shape != (rows, units):
        raise UserError(
            f"{name} returns {_shape(logits.shape[1:])} for an example, the student {_shape((units,))}. "
            "Use a teacher and a student for the same outputs."
        )
    broken = ~np.isfinite(logits).all(axis=1)
    if broken.any():
        raise UserError(
            f"{name} returns NaN or infinite logits for {broken.sum()} of {rows} examples, the first of them row "
            f"{broken.argmax()}: {logits[broken][0].tolist()}. Mend the teacher, or check what its inputs mean."
        )


def _shape(shape):
    return f"shape [batch{''.join(f', {size}' for size in shape)}]"
