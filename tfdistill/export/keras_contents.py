"""What is in a .keras file."""

import math
import re
import zipfile
from pathlib import Path

import keras
import tensorflow as tf

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.export.graph_flops import graph_cost
from tfdistill.export.serving import input_structure, serving_module
from tfdistill.export.sizes import gzip_bytes


def inspect_keras(path):
    """Reads inputs, layers and cost from a .keras file, in safe mode: code that a file carries is not run.

    Returns: the same dict as `tfdistill.export.inspect_tflite`, with format "keras" and these differences: layers are
        [{"name", "kind", "parameters", "bytes"}] in the model's order; the one signature is called "call"; operators
        and flops are those of the inference graph, {} and None for a model that is not functional.

    Raises:
        UserError: no such file, not a .keras file, a damaged one, or one with layers that cannot be loaded safely.

    >>> inspect_keras("saved_models/quickstart/3fa9c01b2d/teacher/model.keras")["layers"][0]["kind"]
    'Embedding'
    """
    path = Path(path)
    model = _load(path)
    operators, flops = _graph(model)
    return {
        "format": "keras",
        "path": str(path),
        "bytes": files.size(path),
        "gzip_bytes": gzip_bytes(path),
        "parameters": model.count_params(),
        "flops": flops,
        "signatures": [_signature(model)] if getattr(model, "inputs", None) else [],
        "operators": operators,
        "layers": layer_table(model),
        "foreign_operators": [],
    }


def layer_table(model):
    """The layers of `model` that hold weights: [{"name", "kind", "parameters", "bytes"}], in the model's order.

    >>> layer_table(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="logits")]))
    [{'name': 'logits', 'kind': 'Dense', 'parameters': 5, 'bytes': 20}]
    """
    rows = []
    for layer in model.layers:
        elements = {variable.path: math.prod(variable.shape) for variable in layer.weights}
        if sum(elements.values()):
            sizes = [elements[variable.path] * tf.as_dtype(variable.dtype).size for variable in layer.weights]
            kind = type(layer).__name__
            rows.append({"name": layer.name, "kind": kind, "parameters": sum(elements.values()), "bytes": sum(sizes)})
    return rows


def _load(path):
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a .keras file, or damaged or cut short.")
    import tfdistill.models  # noqa: F401  registers the layers that our own models are made of

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(f"{path}: cannot be loaded: {_reason(str(error))}") from error


def _reason(message):
    unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", message)
    if unknown:
        return f"nothing here defines its class {unknown[1]!r}. Call this from Python, after importing what does."
    if "safe_mode" in message or "Lambda" in message:
        return "it holds a Lambda layer, that is code, which inspecting does not run."
    return next((line for line in message.splitlines() if line.strip()), "no reason given")[:300]


def _signature(model):
    def described(tensors):
        return [
            {"name": name, "dtype": keras.backend.standardize_dtype(tensor.dtype), "shape": list(tensor.shape)}
            for name, tensor in tensors.items()
        ]

    structure = input_structure(model)
    inputs = structure if isinstance(structure, dict) else {tensor.name: tensor for tensor in model.inputs}
    outputs = dict(zip(model.output_names, model.outputs, strict=True))
    return {"name": "call", "inputs": described(inputs), "outputs": described(outputs)}


def _graph(model):
    try:
        _, signatures = serving_module(model, "logit")
    except Exception:  # whatever an unusual model does when traced, its layers can still be shown
        return {}, None
    graph = signatures["serve_one"].graph
    operators, flops = graph_cost(graph.as_graph_def(add_shapes=True), [tensor.name for tensor in graph.outputs])
    return dict(operators.most_common()), flops
