"""What is in a SavedModel folder, read from its files; the model is not loaded and none of its code runs."""

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.export.graph_flops import graph_cost
from tfdistill.export.sizes import gzip_bytes
from tfdistill.export.spread import spread_of

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def inspect_saved_model(folder):
    """Reads signatures, operators, variables and cost from a SavedModel.

    Operators and operations are those of one signature, `serve_one` where there is one.

    Returns: the same dict as `tfdistill.export.inspect_tflite`, with format "saved_model"; layers are the variables.

    Raises:
        UserError: no such folder, no SavedModel in it, or a damaged one.

    >>> [signature["name"] for signature in inspect_saved_model("export/student")["signatures"]]
    ['serve_one', 'serving_default']
    """
    folder = Path(folder)
    graph = _read_graph(folder)
    definitions = {
        name: definition
        for name, definition in sorted(graph.signature_def.items())
        if not name.startswith("__saved_model")
    }
    main = definitions.get("serve_one") or definitions.get("serving_default") or next(iter(definitions.values()), None)
    outputs = [] if main is None else [tensor.name for tensor in main.outputs.values()]
    operators, flops = graph_cost(graph.graph_def, outputs)
    layers = _variables(folder)
    return {
        "format": "saved_model",
        "path": str(folder),
        "bytes": files.size(folder),
        "gzip_bytes": gzip_bytes(folder),
        "parameters": sum(layer.pop("parameters") for layer in layers),
        "flops": flops,
        "signatures": [_signature(name, definition) for name, definition in definitions.items()],
        "operators": dict(operators.most_common()),
        "layers": layers,
        "foreign_operators": [],
    }


def _read_graph(folder):
    path = folder / "saved_model.pb"
    if not path.is_file():
        raise UserError(f"{folder}: no SavedModel here (no file saved_model.pb).")
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise UserError(f"{path}: damaged or cut short. Export it again.") from error
    if not saved.meta_graphs:
        raise UserError(f"{path}: holds no graph. Export it again.")
    return saved.meta_graphs[0]


def _signature(name, definition):
    def described(tensors):
        return [
            {
                "name": key,
                "dtype": tf.dtypes.as_dtype(tensor.dtype).name,
                "shape": [None if dim.size < 0 else dim.size for dim in tensor.tensor_shape.dim],
            }
            for key, tensor in sorted(tensors.items())
        ]

    return {"name": name, "inputs": described(definition.inputs), "outputs": described(definition.outputs)}


def _variables(folder):
    """The variables in the checkpoint, largest first; optimizer slots and counters would be listed as well."""
    prefix = folder / "variables" / "variables"
    if not prefix.with_suffix(".index").is_file():
        return []
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(f"{prefix}.index: damaged or cut short. Export it again.") from error
    held = sum(files.size(file) for file in folder.glob("variables/variables.data-*"))
    layers = []
    for key, shape in shapes.items():
        if not dtypes[key].is_floating:
            continue
        parameters = tf.TensorShape(shape).num_elements()
        layers.append(
            {
                "name": _variable_name(key),
                "dtype": dtypes[key].name,
                "shape": list(shape),
                "bytes": parameters * dtypes[key].size,
                "parameters": parameters,
                "key": key,
            }
        )
    if sum(layer["bytes"] for layer in layers) > held:
        raise UserError(f"{prefix}.data: damaged or cut short ({held} bytes are there). Export it again.")
    for layer in layers:
        try:
            layer |= spread_of(reader.get_tensor(layer.pop("key")))
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise UserError(f"{prefix}.data: damaged. Export it again.") from error
    return sorted(layers, key=lambda layer: (-layer["bytes"], layer["name"]))


def _variable_name(key):
    """ "weights/embed_user.Sembeddings/.ATTRIBUTES/VARIABLE_VALUE" -> "embed_user/embeddings"."""
    name = key.removesuffix(_VALUE)
    return name.removeprefix("weights/").replace(".S", "/").replace("..", ".")
