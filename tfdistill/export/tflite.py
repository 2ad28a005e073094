"""A Keras ranker as a TFLite file, in four formats. The only module that touches the TFLite converter."""

import contextlib
import os
import re
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.export import compact, flatbuffer, lean
from tfdistill.export.saved_model import write_saved_model
from tfdistill.export.serving import SIGNATURES, check_output, field_inputs, serving_module

FORMATS = ("tflite_float32", "tflite_float16", "tflite_dynamic_int8", "tflite_int8")
CALIBRATION_BATCH = 256


def export_tflite(model, path, format, *, output="probability", calibration=None):
    """Writes `model` as a TFLite file that the plain LiteRT runtime runs, with nothing linked in besides.

    Formats (sizes relative to tflite_float32, for a ranker that is mostly tables):
        tflite_float32: as trained.
        tflite_float16: weights and tables float16, computed in float32; 1/2.
        tflite_dynamic_int8: kernels (one scale a channel) and tables (one scale a table) int8, activations quantised
            on the fly example by example; nothing to calibrate; 1/4. Weights of fewer than 1,024 elements stay float32.
        tflite_int8: all weights, tables and activations int8, biases int32, activation ranges fixed by `calibration`;
            1/4. Operators without an int8 version run in float between conversions. Inputs that meet in one
            concatenation share one scale, set by the widest: keep their ranges alike. A standardised number beside
            embeddings of 0.4 cost .02 of AUC; multiplied by 0.1 in the model (`keras.layers.Rescaling`), nothing.

    Each file has two signatures over one copy of the weights, {field name: tensor} -> {output: float32 [batch, k]}:
        serving_default: any batch size.
        serve_one: batch size 1, all shapes static; it is the file's first graph.
    Ids are int32 and numbers float32 at the boundary in every format. In tflite_int8 the last product is int8 and its
    logit is turned into float32 before the sigmoid, so that small probabilities keep the resolution of the logit.

    Args:
        model: functional `keras.Model` that returns logits float32 [batch, k]; k is 1 for a ranker.
        path: the file to write.
        format: one of `FORMATS`.
        output: "probability" (sigmoid of one logit, softmax of several) or "logit"; also the name of the output.
        calibration: {field name: array [n, ...]} of training examples, for tflite_int8 only; a few thousand rows.

    Returns: the path.

    Raises:
        ValueError: unknown format or output, a model that is not functional, calibration that does not fit the inputs.
        UserError: an operator of the model has no TFLite version, or a field's name fits no signature; no file is left.

    >>> export_tflite(model, "student.tflite", "tflite_float16")
    PosixPath('student.tflite')
    """
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {FORMATS}, received {format!r}.")
    check_output(output)
    fields = field_inputs(model)
    if format == "tflite_int8":
        calibration = _checked_calibration(calibration, fields)
    module, signatures = serving_module(model, output)
    with tempfile.TemporaryDirectory() as folder, _converter_kept_quiet():
        write_saved_model(module, signatures, folder)
        converted = flatbuffer.parse(_convert(folder, format, calibration))
        content = _finished(converted, format, {layer.name for layer in model._flatten_layers(include_self=False)})
        _check_runs(content)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def _finished(converted, format, layer_names):
    """The bytes of the file, from what the converter made."""
    foreign = flatbuffer.foreign_operators(converted)
    if foreign:
        raise UserError(
            f"{format}: the plain TFLite runtime cannot run {', '.join(foreign)}. Do string lookups and the like in the"
            " input pipeline, and build the layer of other operations."
        )
    lean.look_up_ids_as_they_are(converted)
    lean.gather_half_precision(converted)
    lean.squash_in_float(converted)
    compact.name_constants(converted, layer_names)
    compact.drop_unused(converted)
    compact.share_buffers(converted)
    return flatbuffer.pack(converted)


def _convert(folder, format, calibration):
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=sorted(SIGNATURES))
    if format != "tflite_float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if format == "tflite_float16":
        converter.target_spec.supported_types = [tf.float16]
    if format == "tflite_int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _calibration_batches(calibration)
    try:
        return converter.convert()
    except Exception as error:
        raise UserError(f"{format}: this model does not convert to TFLite: {_reason(error)}") from error


@contextlib.contextmanager
def _converter_kept_quiet():
    """Drops what the converter writes to file descriptor 2; it tells its errors as exceptions, too.

    It writes a line an export even when all is well, and dozens of stack traces of its own compiler when an operator is
    missing. It also calibrates with an interpreter that TensorFlow itself warns about.
    """
    with warnings.catch_warnings(), open(os.devnull, "wb") as nowhere:
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated.*", category=UserWarning)
        try:
            stderr = os.dup(2)
        except OSError:  # stderr is closed already
            yield
            return
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _calibration_batches(calibration):
    """The same rows for both signatures: ranges are the extremes over all rows, so both get the same scales.

    All batches have one size, since the calibrating interpreter cannot resize joined inputs; the last one is filled up
    with rows from the beginning, which changes no extreme.
    """
    rows = len(next(iter(calibration.values())))
    for signature, size in (("serving_default", min(CALIBRATION_BATCH, rows)), ("serve_one", 1)):
        for start in range(0, rows, size):
            taken = np.arange(start, start + size) % rows
            yield signature, {name: values[taken] for name, values in calibration.items()}


def _checked_calibration(calibration, fields):
    if not calibration:
        raise ValueError("calibration: tflite_int8 needs {field name: array} of training examples, received none.")
    if set(calibration) != set(fields):
        raise ValueError(f"calibration: expected the fields {sorted(fields)}, received {sorted(calibration)}.")
    checked = {}
    for name, tensor in fields.items():
        values = np.asarray(calibration[name])
        shape = tuple(tensor.shape[1:])
        fits = values.ndim == 1 + len(shape) and all(
            size in (None, given) for size, given in zip(shape, values.shape[1:], strict=True)
        )
        if not fits or len(values) == 0:
            raise ValueError(
                f"calibration[{name!r}]: expected shape (n, {', '.join(map(str, shape))}) with n > 0, "
                f"received {values.shape}."
            )
        checked[name] = np.ascontiguousarray(values, dtype=keras.backend.standardize_dtype(tensor.dtype))
    lengths = {name: len(values) for name, values in checked.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"calibration: expected one number of rows for all fields, received {lengths}.")
    return checked


def _reason(error):
    """The operators that the converter names, else its first line."""
    text = str(error)
    operators = re.findall(r"(?:Flex|Custom) ops: (.+)", text) or re.findall(r"'(tf\.\w+|tfl\.\w+)' op", text)
    if operators:
        names = sorted({name.strip() for listed in operators for name in listed.split(",")})
        return f"no TFLite version of {', '.join(names)}. Build the layer of other operations."
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def _check_runs(content):
    """Runs each signature once on zeros; a graph that the runtime refuses must not reach the disk."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    for signature in SIGNATURES:
        runner = interpreter.get_signature_runner(signature)
        details = runner.get_input_details()
        runner(**{name: np.zeros(detail["shape"], detail["dtype"]) for name, detail in details.items()})
