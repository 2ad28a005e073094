"""Learned projectors: layers that give the student's features the teacher's width, for the time of training only."""

import keras

from tfdistill.losses.pooling import pooled_shapes
from tfdistill.losses.shapes import check_same_shape

KINDS = ("auto", "dense", "conv")
CONVOLUTIONS = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D, 5: keras.layers.Conv3D}


def check_kind(projector):
    """Returns `projector` if it says how to project features; raises `ValueError` otherwise."""
    if projector is None or isinstance(projector, keras.layers.Layer) or projector in KINDS:
        return projector
    raise ValueError(
        f"`projector` must be {', '.join(map(repr, KINDS))}, a keras Layer or None. Received: projector={projector!r}"
    )


def pools(projector, shape):
    """Whether maps of different sizes are pooled to the smaller before they are projected."""
    return projector in ("auto", "conv") and len(shape) > 3


def make_projector(kind, teacher_shape, student_shape):
    """Returns a built layer that turns student features into features of the teacher's shape, or `None`.

    Its weights are float32 and start from Keras's global seed.

    Args:
        kind: `"dense"`, a linear map of the last axis; `"conv"`, the same as a convolution with kernel size 1 over maps
            `[batch, ..., channels]`; `"auto"`, nothing where the shapes agree, a convolution for images and a dense
            layer for anything else; a keras Layer, taken as it is; or `None`, for shapes that must agree. With "conv"
            and "auto" images of different sizes are pooled to the smaller before (`pool_to_smaller`).
        teacher_shape: shape of the teacher's features, the batch (and time steps) possibly `None`.
        student_shape: shape of the student's features.

    Raises:
        ValueError: where no such layer can turn the one shape into the other.

    >>> make_projector("dense", teacher_shape=(None, 8), student_shape=(None, 3)).count_params()  # 3 * 8 + 8
    32
    >>> make_projector("auto", teacher_shape=(None, 8), student_shape=(None, 8)) is None
    True
    """
    check_kind(kind)
    teacher_shape, student_shape = tuple(teacher_shape), tuple(student_shape)
    if pools(kind, student_shape) and len(teacher_shape) == len(student_shape):
        teacher_shape, student_shape = pooled_shapes(teacher_shape, student_shape)
    teacher, student = (keras.KerasTensor(shape, "float32") for shape in (teacher_shape, student_shape))
    if kind is None:
        check_same_shape(teacher, student, "features", "Give a `projector`, or compare layers of the same width.")
        return None
    if len(teacher.shape) != len(student.shape) and not isinstance(kind, keras.layers.Layer):
        raise ValueError(
            "A projector changes the width of features, not their rank. Pool or flatten the larger first, or pass a "
            f"keras Layer. Received: teacher {teacher.shape}, student {student.shape}"
        )
    if kind == "auto":
        if teacher.shape[1:] == student.shape[1:] and None not in teacher.shape[-1:]:
            return None
        kind = "conv" if len(student.shape) > 3 else "dense"
    projector = kind if isinstance(kind, keras.layers.Layer) else _linear(kind, teacher.shape, student.shape)
    check_same_shape(teacher, projector(student), "features", "The student's are those after its projector.")
    return projector


def _linear(kind, teacher_shape, student_shape):
    width = teacher_shape[-1]
    if width is None or student_shape[-1] is None:
        raise ValueError(
            f"A projector needs features of known width. Received: teacher {teacher_shape}, student {student_shape}"
        )
    if kind == "dense":
        return keras.layers.Dense(width, dtype="float32", name="projector")
    if len(student_shape) not in CONVOLUTIONS:
        raise ValueError(
            "projector='conv' needs features [batch, ..., channels] of one to three spatial axes. "
            f"Received: student {student_shape}"
        )
    convolution = CONVOLUTIONS[len(student_shape)]
    return convolution(width, 1, data_format="channels_last", dtype="float32", name="projector")
