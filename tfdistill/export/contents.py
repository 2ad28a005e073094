"""What is in a model file, whatever its kind."""

from pathlib import Path

from tfdistill.errors import UserError


def describe(path):
    """Reads what is in a SavedModel folder, a .tflite file or a .keras file.

    Returns: a dict, the same keys for every kind: format, path, bytes, gzip_bytes, parameters, flops, signatures,
        operators, layers, foreign_operators; see `tfdistill.export.inspect_tflite`. The entries of layers are flat
        dicts with the same keys within one file. It can be written as JSON.

    Raises:
        UserError: nothing there, a kind of file that is none of the three, or a damaged file.

    >>> describe("student.tflite")["parameters"]
    83457
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    if path.is_dir():
        from tfdistill.export.saved_model_contents import inspect_saved_model

        return inspect_saved_model(path)
    with open(path, "rb") as file:
        head = file.read(8)
    if path.suffix == ".tflite" or head[4:8] == b"TFL3":
        from tfdistill.export.tflite_contents import inspect_tflite

        return inspect_tflite(path)
    if path.suffix == ".keras":
        from tfdistill.export.keras_contents import inspect_keras

        return inspect_keras(path)
    raise UserError(f"{path}: expected a SavedModel folder, a .tflite file or a .keras file.")
