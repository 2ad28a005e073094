"""Reading `.keras` files from anywhere, safely."""

import re
import zipfile

import keras

from tfdistill._features import FeatureExtractor
from tfdistill.errors import UserError
from tfdistill._layers import is_functional

# What Keras says, somewhere in a long message, of code that is not registered or that safe mode refuses.
MISSING_CODE = re.compile(r"Could not (?:locate|deserialize) (?:class |function )?'[^']+'|a Python lambda")


def open_keras_file(path):
    """Returns (function on a dict of inputs, {input name: symbolic tensor} or `None` for a model that declares none).

    Raises:
        UserError: where the file is damaged, or needs code that is not at hand.
    """
    _check_archive(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged configuration can fail in any way
        missing = MISSING_CODE.search(str(error))
        if missing is not None:
            raise UserError(
                f"The teacher '{path}' needs code that is not loaded from a file ({missing.group()}). Register its "
                "classes and functions with @keras.saving.register_keras_serializable() and import them before "
                "loading; replace a lambda by a registered function; or export the teacher as a SavedModel."
            ) from error
        reason = str(error).strip().split("\n")[0][:300]
        raise UserError(f"The teacher '{path}' cannot be read: {reason} Save it again.") from error
    extractor = FeatureExtractor(model, [], "teacher")
    return lambda inputs: extractor(inputs, training=False)[None], _declared_inputs(model)


def _check_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            complete = "config.json" in archive.namelist()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(
            f"'{path}' is no .keras file, or one that was cut off ({error}). Save or copy it again."
        ) from error
    if damaged is not None or not complete:
        what = f"'{damaged}' in it is damaged" if damaged else "it has no config.json"
        raise UserError(f"'{path}' is no intact .keras file: {what}. Save or copy it again.")


def _declared_inputs(model):
    if not is_functional(model):
        return None
    declared = model.inputs if isinstance(model, keras.Sequential) else model.input
    if isinstance(declared, dict):
        return dict(declared)
    return {tensor.name: tensor for tensor in keras.tree.flatten(declared)}
