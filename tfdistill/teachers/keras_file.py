"""Reading model files of Keras, of version 2 and 3, from anywhere, safely."""

import json
import re
import zipfile

import h5py
import keras

from tfdistill._features import FeatureExtractor
from tfdistill.errors import UserError
from tfdistill.precision import in_precision
from tfdistill.teachers import legacy_keras
from tfdistill.teachers.calling import declared_inputs, named_inputs

HDF5 = (".h5", ".hdf5")

# What Keras says, somewhere in a long message, of code that is not registered or that safe mode refuses.
MISSING_CODE = re.compile(r"Could not (?:locate|deserialize) (?:class |function )?'[^']+'|a Python lambda")


def open_keras_file(path, precision=None):
    """Returns a `.keras` or `.h5` file as (function, {input name: symbolic tensor}).

    The function takes a dict of inputs and layers to read, and returns `{None: output, layer: what it computed}`.
    Instead of the inputs there is `None` for a model that declares none.

    Args:
        path: `pathlib.Path` of a file.
        precision: what the model is to compute in; `None` for what it was saved with.

    Raises:
        UserError: as `read_model`, and for a model that cannot be had in another precision.
    """
    model = read_model(path)
    if precision is not None:
        model = _in_precision(model, precision, path)
    declared = declared_inputs(model)

    def function(inputs, layers=()):
        extractor = FeatureExtractor(model, layers, "teacher") if layers else prediction_alone
        return extractor(inputs, training=False)

    prediction_alone = FeatureExtractor(model, [], "teacher")
    return function, None if declared is None else named_inputs(declared)


def read_model(path):
    """Loads the model in a `.keras` or `.h5` file, in safe mode: code that a file carries is not run.

    Args:
        path: `pathlib.Path` of a file.

    Returns: a `keras.Model`; of a file that Keras 2 wrote, a `tf_keras.Model`.

    Raises:
        UserError: where the file is damaged, needs code that is not at hand, or needs tf_keras where that is not
            installed.
    """
    version, config = (_hdf5_header if path.suffix in HDF5 else _archive_header)(path)
    import tfdistill.models  # noqa: F401  registers the layers that our own models are made of

    try:
        if version.startswith("3."):
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        return legacy_keras.load_model(path, version, config)
    except UserError:
        raise
    except Exception as error:  # a damaged configuration can fail in any way
        missing = MISSING_CODE.search(str(error))
        if missing is not None:
            raise legacy_keras.needs_code(path, missing.group()) from error
        raise _unreadable(path, error) from error


def _in_precision(model, precision, path):
    if not isinstance(model, keras.Model):
        raise UserError(f"'{path}' was written by Keras 2, whose models stay in their precision. Remove `precision`.")
    try:
        return in_precision(model, precision)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise UserError(f"'{path}' cannot be had in {precision}: {reason} Remove `precision`.") from error


def _archive_header(path):
    """The version of Keras that wrote a `.keras` file, and the configuration of the model; reads all of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged, names = archive.testzip(), archive.namelist()
            texts = [archive.read(name) if name in names else b"{}" for name in ("metadata.json", "config.json")]
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(
            f"'{path}' is no .keras file, or one that was cut off ({error}). Save or copy it again."
        ) from error
    if damaged is not None or "config.json" not in names:
        what = f"'{damaged}' in it is damaged" if damaged else "it has no config.json"
        raise UserError(f"'{path}' is no intact .keras file: {what}. Save or copy it again.")
    metadata, config = (_parsed(text, path) for text in texts)
    return str(metadata.get("keras_version", "3.")), config


def _hdf5_header(path):
    """The same of a `.h5` file."""
    try:
        with h5py.File(path) as file:
            version, config = file.attrs.get("keras_version", "2."), file.attrs.get("model_config")
    except OSError as error:
        raise UserError(
            f"'{path}' is no .h5 file, or one that was cut off ({error}). Save or copy it again."
        ) from error
    if config is None:
        raise UserError(f"'{path}' holds weights without a model. Save the whole model: model.save('teacher.keras').")
    return _text(version), _parsed(_text(config), path)


def _parsed(text, path):
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise _unreadable(path, error) from error
    if not isinstance(parsed, dict):
        raise _unreadable(path, f"a list of settings was expected in it, but there is {str(parsed)[:40]!r}.")
    return parsed


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _unreadable(path, error):
    reason = str(error).strip().split("\n")[0][:300]
    return UserError(f"'{path}' cannot be read: {reason} Save it again.")
