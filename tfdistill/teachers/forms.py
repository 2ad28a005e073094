"""The forms in which a teacher may be given."""

from pathlib import Path

from tfdistill.teachers.cached import CachedTeacher
from tfdistill.teachers.loading import load_teacher


def as_teacher(teacher):
    """Returns a callable for any form of teacher, and `None` for `None`.

    | form                                                    | what becomes of it                        |
    |---------------------------------------------------------|-------------------------------------------|
    | a model of Keras 3 or tf_keras, a TFRS model, a callable | itself                                   |
    | a list or tuple of teachers, in any of these forms      | `Ensemble`: the mean of their logits      |
    | a path: a `.keras` or `.h5` file, or a SavedModel folder | `load_teacher(path)`                     |
    | `tfdistill.soft_targets.SoftTargets`                    | `CachedTeacher`: attach them to the data  |

    Raises:
        UserError: for a path that cannot be loaded.
        ValueError: for anything else, and for a Keras model without a `call`. Such is a TFRS model that defines
            `compute_loss` alone; then a callable on its towers is the teacher, as in the example.

    Example: a two-tower model of TFRS, whose scores are dot products.

    ```python
    def teacher(inputs):
        user, movie = model.user_tower(inputs["user"]), model.movie_tower(inputs["movie"])
        return tf.reduce_sum(user * movie, axis=1, keepdims=True)

    distiller = tfdistill.Distiller(teacher, student, tfdistill.losses.LogitsDistillation())
    ```
    """
    if teacher is None:
        return None
    if isinstance(teacher, (list, tuple)):
        from tfdistill.teachers.ensemble import Ensemble  # its members come in any form too

        return Ensemble(teacher)
    if isinstance(teacher, (str, Path)):
        return load_teacher(teacher)
    if not callable(teacher) and hasattr(teacher, "attach"):
        from tfdistill.soft_targets import SoftTargets  # which writes with teachers in any form

        if isinstance(teacher, SoftTargets):
            return CachedTeacher(features=list(teacher.features))
    if not callable(teacher):
        raise ValueError(
            "`teacher` must be a keras.Model, a callable on the inputs, a path, or a list of these. "
            f"Received: teacher={teacher!r}"
        )
    if _has_no_call(teacher):
        raise ValueError(
            f"`teacher` has no `call`, so it says nothing of its inputs. Received: {type(teacher).__name__}. Define "
            "`call`; or, for a TFRS model of two towers, pass a callable on them: teacher=lambda inputs: "
            "tf.reduce_sum(model.user_tower(inputs['user']) * model.item_tower(inputs['item']), axis=1, keepdims=True)"
        )
    return teacher


def _has_no_call(teacher):
    """Whether it is a Keras model, of Keras 3 or tf_keras, whose `call` is the empty one of the base class."""
    owner = next((base for base in type(teacher).__mro__ if "call" in vars(base)), None)
    if owner is None or "call" in vars(teacher):
        return False
    return owner.__name__ in ("Layer", "Model") and owner.__module__.split(".")[0] in ("keras", "tf_keras")
