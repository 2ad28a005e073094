"""What can be known of a model before it runs: its symbolic inputs, outputs and layers."""

import difflib

import keras


def is_functional(model):
    """Whether `model` is a Functional or a built Sequential model, whose graph of layers is known."""
    return isinstance(model, keras.Model) and getattr(model, "inputs", None) is not None


def model_output(model):
    """The symbolic output, or structure of outputs, of a functional model."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def layer_output(model, layer_name, role):
    """The symbolic output of a named layer.

    Args:
        model: a keras.Model.
        layer_name: the name of one of `model.layers`.
        role: `"teacher"` or `"student"`, for the message.

    Raises:
        ValueError: where the model is not functional, has no such layer (names the nearest), or calls it several times.
    """
    if not is_functional(model):
        raise ValueError(
            f"In {role} model: the output of layer '{layer_name}' can be read from a Functional or a built Sequential "
            f"model only; this one has no symbolic inputs (it is subclassed, not built yet, or not a keras.Model). "
            f"Received: {role}={model!r}"
        )
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        near = difflib.get_close_matches(str(layer_name), names, n=3, cutoff=0.4)
        nearest = f" The nearest: {', '.join(map(repr, near))}." if near else ""
        raise ValueError(f"In {role} model: no layer named {layer_name!r}.{nearest} Its layers: {names}")
    layer = model.get_layer(layer_name)
    graph = model._functional if isinstance(model, keras.Sequential) else model
    # `layer.output` would be the layer's first call anywhere, in a graph that need not be this model's.
    calls = [node for nodes in graph._nodes_by_depth.values() for node in nodes if node.operation is layer]
    if len(calls) != 1:
        raise ValueError(
            f"In {role} model: layer '{layer_name}' is called {len(calls)} times, so it has no single output. Add a "
            "layer after the call you mean (for example keras.layers.Identity) and name that."
        )
    outputs = calls[0].outputs
    return outputs[0] if len(outputs) == 1 else list(outputs)
