"""A Keras ranker as a TFLite file, in seven formats. The only module that touches the TFLite converter."""

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
from tfdistill.export import compact, flatbuffer, lean, low_bit, sixteen_bit
from tfdistill.export.promises import check_promises, promises_of
from tfdistill.export.quantized import FinalWeights, check_format
from tfdistill.export.quantized_file import store_final_weights
from tfdistill.export.saved_model import write_saved_model
from tfdistill.export.serving import SIGNATURES, check_output, field_inputs, serving_module
from tfdistill.parametrize import parametrized_parts, strip
from tfdistill.precision import FLOAT32, in_precision
from tfdistill.quantization import is_quantized

FORMATS = (
    "tflite_float32",
    "tflite_float16",
    "tflite_dynamic_int8",
    "tflite_weight_only_int8",
    "tflite_int8",
    "tflite_int16",
    "tflite_int4",
)
CALIBRATED = ("tflite_int8", "tflite_int16")  # the formats whose activation ranges come from examples
CALIBRATION_BATCH = 256
_CONVERTED_IN_FLOAT = ("tflite_float32", "tflite_weight_only_int8", "tflite_int16", "tflite_int4")


def export_tflite(model, path, format, *, output="probability", calibration=None):
    """Writes `model` as a TFLite file that the plain LiteRT runtime runs, with nothing linked in besides.

    Formats (sizes relative to tflite_float32, for a ranker that is mostly tables):
        tflite_float32: as trained.
        tflite_float16: weights and tables float16, computed in float32; 1/2.
        tflite_dynamic_int8: kernels (one scale a channel) and tables (one scale a table) int8, activations quantised
            on the fly example by example; nothing to calibrate; 1/4. Weights of fewer than 1,024 elements stay float32.
        tflite_weight_only_int8: the same weights in int8, all computed in float32: kernels are turned into floats at the
            first call, of tables only the rows looked up; 1/4.
        tflite_int8: all weights, tables and activations int8, biases int32, activation ranges fixed by `calibration`;
            1/4. Operators without an int8 version run in float between conversions. Inputs that meet in one
            concatenation share one scale, set by the widest: keep their ranges alike. A standardised number beside
            embeddings of 0.4 cost .02 of AUC; multiplied by 0.1 in the model (`keras.layers.Rescaling`), nothing.
        tflite_int16: kernels and tables int8, activations int16 with ranges fixed by `calibration`, biases int64; 1/4.
            Made by ai-edge-quantizer (`pip install 'tfdistill[int16]'`).
        tflite_int4: weights of at least 1,024 elements int4 (kernels one scale a channel, tables one), smaller ones int8;
            what goes into a dense layer is rounded to 8 bits on the fly, all else is computed in float32; 1/6 to 1/8.
            Tables of an odd width stay int8.
    A format is described with its numbers in docs/export.md.

    Each file has two signatures over one copy of the weights, {field name: tensor} -> {output: float32 [batch, k]}:
        serving_default: any batch size.
        serve_one: batch size 1, all shapes static; it is the file's first graph.
    Ids are int32 and numbers float32 at the boundary in every format. In tflite_int8 the last product is int8 and its
    logit is turned into float32 before the sigmoid, so that small probabilities keep the resolution of the logit.

    The finished file is checked against the model: zeros of pruned weights are zeros in it, values that clustered
    weights share are shared in it, weights have the type of the format; see `tfdistill.export.promises`.

    Args:
        model: functional `keras.Model` that returns logits float32 [batch, k]; k is 1 for a ranker. A pruned or clustered
            one is stripped (`tfdistill.parametrize.strip`). One that `tfdistill.quantization.quantize_model` made, and
            that was trained, goes into tflite_int8 with the integers and ranges of its training, without calibration.
            One of tf_keras is taken as it is: strip it yourself.
        path: the file to write.
        format: one of `FORMATS`.
        output: "probability" (sigmoid of one logit, softmax of several classes), "probabilities" (sigmoid of each of several
            labels that do not exclude each other, as of `multi_label_tagger`) or "logit"; also the name of the output.
        calibration: {field name: array [n, ...]} of training examples, for tflite_int8 and tflite_int16 only; a few
            thousand rows.

    Returns: the path.

    Raises:
        ValueError: unknown format or output, a model that is not functional, calibration that does not fit the inputs.
        UserError: an operator of the model has no TFLite version, a field's name fits no signature, or the file lacks
            what the model promises; no file is left.

    >>> export_tflite(model, "student.tflite", "tflite_float16")
    PosixPath('student.tflite')
    """
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {FORMATS}, received {format!r}.")
    check_output(output)
    final = None
    if is_quantized(model):
        check_format(format)
        model = in_precision(model, FLOAT32)
        final = FinalWeights(model)
    elif parametrized_parts(model):
        model = strip(model)
    fields = field_inputs(model)
    if format in CALIBRATED and final is None:
        calibration = _checked_calibration(calibration, fields, format)
    if format == "tflite_int16":
        sixteen_bit.check_is_installed()
    module, signatures = serving_module(model, output, final)
    with tempfile.TemporaryDirectory() as folder, converter_kept_quiet():
        write_saved_model(module, signatures, folder)
        converted = flatbuffer.parse(convert(folder, format, calibration, final))
        layer_names = {layer.name for layer in model._flatten_layers(include_self=False)}
        content = finished(converted, format, layer_names, calibration, final)
        promises = promises_of(model, module.weights, None if final is None else final.value)
        check_promises(promises, content, format, types=final is None)
        check_runs(content)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def finished(converted, format, layer_names, calibration=None, final=None):
    """The bytes of the file, from what the converter made."""
    foreign = flatbuffer.foreign_operators(converted)
    if foreign:
        raise UserError(
            f"{format}: the plain TFLite runtime cannot run {', '.join(foreign)}. Do string lookups and the like in the"
            " input pipeline, and build the layer of other operations."
        )
    lean.look_up_ids_as_they_are(converted)
    lean.gather_half_precision(converted)
    compact.name_constants(converted, layer_names)
    if final is not None:
        store_final_weights(converted, final.stored)
    elif format in ("tflite_weight_only_int8", "tflite_int4"):
        low_bit.store_weights(converted, bits=4 if format == "tflite_int4" else 8)
    elif format in ("tflite_dynamic_int8", "tflite_int8"):  # what the converter left: weights that are added, say
        low_bit.store_weights(converted, bits=8, smallest=low_bit.LARGE)
    elif format == "tflite_int16":
        converted = sixteen_bit.compute_in_sixteen_bits(converted, lambda: _calibration_batches(calibration))
    lean.squash_in_float(converted)
    compact.drop_unused(converted)
    compact.share_buffers(converted)
    return flatbuffer.pack(converted)


def convert(folder, format, calibration, final=None):
    """The bytes that the converter makes of a SavedModel with our signatures; raises UserError where it cannot."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=sorted(SIGNATURES))
    if format not in _CONVERTED_IN_FLOAT and (final is None or final.rounds_activations):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if format == "tflite_float16":
        converter.target_spec.supported_types = [tf.float16]
    if format == "tflite_int8" and final is None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _calibration_batches(calibration)
    try:
        return converter.convert()
    except Exception as error:
        raise UserError(f"{format}: this model does not convert to TFLite: {_reason(error)}") from error


@contextlib.contextmanager
def converter_kept_quiet():
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


def _checked_calibration(calibration, fields, format):
    if not calibration:
        raise ValueError(f"calibration: {format} needs {{field name: array}} of training examples, received none.")
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


def check_runs(content):
    """Runs each signature once on zeros; a graph that the runtime refuses must not reach the disk."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    for signature in SIGNATURES:
        runner = interpreter.get_signature_runner(signature)
        details = runner.get_input_details()
        runner(**{name: np.zeros(detail["shape"], detail["dtype"]) for name, detail in details.items()})
