"""Where in a model a transform of activations sits: at an output, an input or a fused activation function."""

import contextlib

import keras

from tfdistill._layers import is_functional, replacing, wrapping


def operations_of(model):
    """The model, all layers below it, and the bare operations (`x * y`, `keras.ops.relu(x)`) of its functional parts."""
    layers = model._flatten_layers()
    bare = [
        operation
        for part in layers
        if is_functional(part) and not isinstance(part, keras.Sequential) and hasattr(part, "operations")
        for operation in part.operations
        if not isinstance(operation, keras.layers.Layer)
    ]
    return [*layers, *bare]


@contextlib.contextmanager
def hooked(transforms, training):
    """While the context lasts, layers' outputs, inputs and activations go through transforms.

    Args:
        transforms: pairs (layer or bare operation, `OutputTransform`).
        training: whether this is a step of training.
    """
    outputs, inputs, activations = [], [], []
    for layer, transform in transforms:
        through = _through(transform, training)
        if transform.where == "output":
            outputs.append((layer, through))
        elif transform.where == "activation":
            activations.append((layer, _on_argument(through)))
        else:
            inputs.append((layer, _on_tensor(layer, transform.where.removeprefix("input:"), through)))
    with replacing(outputs), wrapping(inputs), wrapping(activations, method="activation"):
        yield


def tensor_paths(args, kwargs):
    """{path: tensor} of the arguments of a call: "0" is the first, "0/age" an entry of a dict that comes first.

    An argument that holds a single tensor is named by its place alone, however it is wrapped.
    """
    paths = {}
    for place, argument in [*enumerate(args), *sorted(kwargs.items())]:
        leaves = [(path, leaf) for path, leaf in keras.tree.flatten_with_path(argument) if _is_tensor(leaf)]
        for path, leaf in leaves:
            below = [] if len(leaves) == 1 else path
            paths["/".join(map(str, (place, *below)))] = leaf
    return paths


def _through(transform, training):
    return lambda tensor: transform(tensor, training=training)


def _on_argument(through):
    return lambda call, value, *args, **kwargs: call(through(value), *args, **kwargs)


def _on_tensor(layer, path, through):
    def around(call, *args, **kwargs):
        paths = tensor_paths(args, kwargs)
        if path not in paths:
            raise ValueError(
                f"'{layer.name}' was called with the tensors {sorted(paths)} where one named {path!r} is transformed. Call it"
                " with arguments of the form that it had when transforms were put on it."
            )
        old = paths[path]
        new = through(old)
        mask = getattr(old, "_keras_mask", None)
        if mask is not None:
            new._keras_mask = mask
        args, kwargs = keras.tree.map_structure(lambda leaf: new if leaf is old else leaf, (args, kwargs))
        return call(*args, **kwargs)

    return around


def _is_tensor(leaf):
    return keras.ops.is_tensor(leaf) or isinstance(leaf, keras.KerasTensor)
