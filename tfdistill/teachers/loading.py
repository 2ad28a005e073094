"""Opening a trained model as a teacher."""

from pathlib import Path

from tfdistill.errors import UserError
from tfdistill.losses.probabilities import check_task
from tfdistill.precision import check_precision
from tfdistill.teachers.keras_file import HDF5, open_keras_file
from tfdistill.teachers.loaded import OUTPUTS, LoadedTeacher
from tfdistill.teachers.saved_model import open_saved_model


def load_teacher(path, *, signature=None, inputs=None, outputs="logits", task="auto", precision=None):
    """Opens a model on disk as a callable: dict of tensors -> float32 logits `[batch, k]`.

    A SavedModel is a program: loading one runs its code with your rights. Load only what you trust. A `.keras` or `.h5`
    file is loaded in Keras's safe mode: it may name classes that are registered in this process, but brings no code.
    Files of Keras 2 are read by tf_keras, which must be installed, under the same rule.

    Args:
        path: a `.keras` file, a `.h5` file of a whole model, or a folder with `saved_model.pb`.
        signature: for a SavedModel, the name of the signature to call. `None` takes `"serving_default"`, else the only
            signature, else `__call__`.
        inputs: {the teacher's input name: our field name} where they differ.
        outputs: `"logits"`, or `"probabilities"`, from which logits are recovered with clipping (see
            `tfdistill.losses.logits_from_probabilities`). Of several named outputs the one with this name is used.
        precision: what a `.keras` or `.h5` file of Keras 3 is to compute in, one of `tfdistill.precision.PRECISIONS`;
            `None` for what it was saved with.
        task: what probabilities are: `"binary"` (sigmoids), `"categorical"` (a softmax), or `"auto"`: binary for k = 1.

    Returns:
        `LoadedTeacher`. It hands the model the inputs that it declares, cast to the declared dtypes.

    Raises:
        UserError: where there is nothing at `path`; for a file of another kind, a truncated or damaged one, or one that
            needs classes that are not registered, or tf_keras; for a signature that is not there (lists those that
            are); for `inputs` that the teacher does not have. When called: for inputs that are missing.
            For a `precision` of what cannot have another one: a SavedModel, a model of Keras 2.
        ValueError: for unknown values of `outputs`, `task` and `precision`, and a signature for a file.

    Example:

    ```python
    teacher = tfdistill.teachers.load_teacher("ranker/", inputs={"user_id": "user", "movie_title": "movie"})
    logits = teacher({"user": tf.constant(["42"]), "movie": tf.constant(["Heat"])})
    ```
    """
    if outputs not in OUTPUTS:
        raise ValueError(f"`outputs` must be one of {', '.join(map(repr, OUTPUTS))}. Received: outputs={outputs!r}")
    check_task(task)
    if precision is not None:
        check_precision(precision)
    path = Path(path)
    if not path.exists():
        raise UserError(f"No teacher at '{path}'. Pass an existing .keras file or SavedModel folder.")
    if path.is_file() and path.suffix in (".keras", *HDF5):
        if signature is not None:
            raise ValueError(f"`signature` is for SavedModels; a {path.suffix} file has none. Received: {signature!r}")
        function, specs = open_keras_file(path, precision)
    elif path.is_dir() and (path / "saved_model.pb").is_file():
        if precision is not None:
            raise UserError(
                f"'{path}' is a SavedModel, which computes in what it was exported with: precision {precision} needs a .keras "
                "file. Remove `precision`, or save the teacher with model.save('teacher.keras')."
            )
        function, specs = open_saved_model(path, signature)
    else:
        raise UserError(
            f"'{path}' is neither a .keras or .h5 file nor a SavedModel folder (one with a saved_model.pb in it). "
            "Save the teacher with model.save('teacher.keras') or model.export('teacher')."
        )
    reading = {"signature": signature, "inputs": inputs, "outputs": outputs, "task": task, "precision": precision}
    return LoadedTeacher(function, specs, path=path, **reading)
