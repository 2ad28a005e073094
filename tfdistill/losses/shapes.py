"""The one check that keeps broadcasting from hiding a mistake."""


def check_same_shape(teacher, student, what, hint=""):
    """Raises `ValueError`, naming both shapes, unless the shapes agree wherever both are known."""
    teacher_shape, student_shape = tuple(teacher.shape), tuple(student.shape)
    agree = len(teacher_shape) == len(student_shape) and all(
        t is None or s is None or t == s for t, s in zip(teacher_shape, student_shape, strict=True)
    )
    if not agree:
        raise ValueError(
            f"Teacher and student {what} must have the same shape. "
            f"Received: teacher {teacher_shape}, student {student_shape}. {hint}".rstrip()
        )
