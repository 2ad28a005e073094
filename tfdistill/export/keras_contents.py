"""What is in a .keras file."""

import math
from pathlib import Path

import keras
import tensorflow as tf

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.export.graph_flops import graph_cost
from tfdistill.export.serving import input_structure, serving_module
from tfdistill.export.sizes import gzip_bytes
from tfdistill.parametrize import plain_model
from tfdistill.teachers.keras_file import read_model


def inspect_keras(path):
    """Reads inputs, layers and cost from a .keras file, in safe mode: code that a file carries is not run.

    Of a file of Keras 2 (read by tf_keras) it does not know operators and flops.

    Returns: the same dict as `tfdistill.export.inspect_tflite`, with format "keras" and these differences: layers are
        [{"name", "kind", "parameters", "bytes"}] in the model's order; the one signature is called "call"; operators
        and flops are those of the inference graph, {} and None for a model that is not functional.

    Raises:
        UserError: no such file, not a .keras file, a damaged one, or one with layers that cannot be loaded safely.

    >>> inspect_keras("saved_models/quickstart/3fa9c01b2d/teacher/model.keras")["layers"][0]["kind"]
    'Embedding'
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    model = read_model(path)
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
    for layer in plain_model(model).layers:
        elements = {id(variable): math.prod(variable.shape) for variable in layer.weights}
        if sum(elements.values()):
            sizes = [elements[id(variable)] * tf.as_dtype(variable.dtype).size for variable in layer.weights]
            kind = type(layer).__name__
            rows.append({"name": layer.name, "kind": kind, "parameters": sum(elements.values()), "bytes": sum(sizes)})
    return rows


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
