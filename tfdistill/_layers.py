"""Finding layers of a model by name, by path or as objects; reading, and replacing, what they compute."""

import contextlib
import difflib
import functools
import inspect
import threading

import keras
import tensorflow as tf

OUTPUT, ATTENTION_SCORES, REPLACEMENT, AROUND = "output", "attention_scores", "replacement", "around"

_HOOKING = threading.Lock()


def is_functional(model):
    """Whether `model` is a Functional or a built Sequential model, whose graph of layers is known."""
    return isinstance(model, keras.Model) and getattr(model, "inputs", None) is not None


def model_inputs(model):
    """The symbolic input, or structure of inputs, of a functional model."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return model.input


def model_output(model):
    """The symbolic output, or structure of outputs, of a functional model."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def find_layer(model, reference, role):
    """Returns a layer of a model, of any kind of model, nested layers included.

    Args:
        model: a model of Keras 3 or tf_keras: functional, sequential or subclassed.
        reference: the layer's name, its path ("encoder/attention": the names from the model down), or the layer itself.
            A name or the end of a path is enough where only one layer fits.
        role: `"teacher"` or `"student"`, for messages.

    Raises:
        ValueError: where no layer fits (names the nearest), several do, or the model has no layers to look through.
    """
    if not hasattr(model, "_flatten_layers"):
        raise ValueError(
            f"In {role} model: the output of layer '{reference}' can be read from a Keras model only. "
            f"Received: {role}={model!r}"
        )
    layers = list(_walk(model))
    paths = [path for path, layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    if not isinstance(reference, str):
        if any(layer is reference for _, layer in layers):
            return reference
        name = getattr(reference, "name", reference)
        raise ValueError(f"In {role} model: the layer {name!r} is none of its layers. Its layers: {_shortened(paths)}")
    fits = [(path, layer) for path, layer in layers if path == reference]
    fits = fits or [(path, layer) for path, layer in layers if path.endswith(f"/{reference}")]
    if len({id(layer) for _, layer in fits}) > 1:
        raise ValueError(
            f"In {role} model: {reference!r} fits several layers, {[path for path, _ in fits]}. "
            "Give the whole path, or the layer itself."
        )
    if fits:
        return fits[0][1]
    names = {*paths, *(path.rsplit("/", 1)[-1] for path in paths)}
    near = difflib.get_close_matches(reference, sorted(names), n=3, cutoff=0.4)
    nearest = f" The nearest: {', '.join(map(repr, near))}." if near else ""
    raise ValueError(
        f"In {role} model: no layer named {reference!r}.{nearest} Its layers: {_shortened(paths)}"
        + ("" if model.built else " (it is not built yet: layers that it makes when it is first called are missing)")
    )


def layer_paths(model):
    """{path: layer} of all layers below a model, outer layers before inner ones; a shared layer has several paths."""
    paths = {}
    for path, layer in _walk(model):
        paths.setdefault(path, layer)
    return paths


def _walk(model):
    """Yields (path, layer) of all layers below a model, outer layers before inner ones."""
    level = [("", model, ())]
    while level:
        below = []
        for prefix, parent, above in level:
            for layer in parent._flatten_layers(include_self=False, recursive=False):
                path = f"{prefix}{layer.name}"
                yield path, layer
                if not any(layer is one for one in (*above, parent)):  # a layer may hold the model that it is part of
                    below.append((f"{path}/", layer, (*above, parent)))
        level = below


@contextlib.contextmanager
def recording(readings):
    """While the context lasts, records what layers compute; yields a function that returns it.

    Args:
        readings: {key: (layer, "output" or "attention_scores")}. The attention scores are those of a layer such as
            `keras.layers.MultiHeadAttention`, whose `call` has the argument return_attention_scores; they carry the
            mask of the queries as `_keras_mask`. The scores of any other layer are its output.

    The function yielded returns {key: output} of the one forward pass made since, and raises `ValueError` where a layer
    was called several times, not at all, or inside a loop.
    """
    records = {key: [] for key in readings}
    with _listening((layer, reading, records[key].append) for key, (layer, reading) in readings.items()):
        yield lambda: {key: _only(calls, readings[key][0]) for key, calls in records.items()}


def replacing(functions):
    """A context in which layers return something else, which is what `recording` sees of them, too.

    Args:
        functions: pairs (layer, function of an output tensor that returns another of its shape). Attention scores, and
            what is no floating-point tensor, stay as they are.
    """
    return _listening((layer, REPLACEMENT, function) for layer, function in functions)


def wrapping(functions, method=None):
    """A context in which functions run in place of what layers call; each gets that, and its arguments.

    Args:
        functions: pairs (layer, function(call, *args, **kwargs) that returns what `call` would).
        method: "activation" for the layers' fused activation functions instead of the layers' own calls.
    """
    return _listening(((layer, AROUND, function) for layer, function in functions), method)


@contextlib.contextmanager
def _listening(listeners, method=None):
    """While the context lasts, functions hear of the calls of layers: triples (layer, reading, function)."""
    me = threading.get_ident()  # replicas of a distribution strategy run the same layers in threads of their own
    hooked = []
    try:
        for layer, reading, function in listeners:
            hooked.append((layer, *_hook(layer, (me, reading, function), method)))
        yield
    finally:
        for layer, method, listener in hooked:
            _unhook(layer, method, listener)


def output_specs(model, readings):
    """{`None`: the model's output, key: what is read of a layer} as symbolic tensors; `None` unless functional.

    Args:
        model: a model.
        readings: as for `recording`.
    """
    if not is_functional(model):
        return None
    specs = {None: model_output(model)}
    return specs | _Forward(model, readings).compute_output_spec(model_inputs(model)) if readings else specs


class _Forward(keras.Operation):
    """A model's forward pass that yields what its layers compute, for Keras to work out the shapes."""

    def __init__(self, model, readings):
        super().__init__()
        self.model, self.readings = model, readings

    def call(self, inputs):
        with recording(self.readings) as outputs:
            self.model(inputs, training=False)
            return outputs()


def _hook(layer, listener, method=None):
    """Has a layer tell a listener of its calls; returns what `_unhook` takes."""
    if method is None:
        method = "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"
    with _HOOKING:
        if not hasattr(layer.__dict__.get(method), "listeners"):
            # Past Keras's tracking, which would take an attribute for a part of the layer.
            layer.__dict__[method] = _telling(getattr(layer, method), layer.__dict__.get(method))
        layer.__dict__[method].listeners.append(listener)
    return method, listener


def _unhook(layer, method, listener):
    with _HOOKING:
        telling = layer.__dict__[method]
        telling.listeners.remove(listener)
        if telling.listeners:
            return
        del layer.__dict__[method]
        if telling.replaced is not None:
            layer.__dict__[method] = telling.replaced


def _telling(call, replaced):
    """`call` that tells its listeners of this thread what it returns; `replaced` is what it stands in for."""
    gives_scores = "return_attention_scores" in inspect.signature(call).parameters

    @functools.wraps(call)
    def tell_and_return(*args, **kwargs):
        me = threading.get_ident()
        heard = [(reading, tell) for thread, reading, tell in list(tell_and_return.listeners) if thread == me]
        scores_heard = gives_scores and any(reading == ATTENTION_SCORES for reading, _ in heard)
        scores_asked = kwargs.get("return_attention_scores", False)
        if scores_heard:
            kwargs["return_attention_scores"] = True
        run = call
        for reading, function in heard:
            if reading == AROUND:
                run = functools.partial(function, run)
        returned = scores = run(*args, **kwargs)
        if scores_heard or (gives_scores and scores_asked):
            output, scores = returned
            returned = (_replaced(output, heard), scores) if scores_asked else _replaced(output, heard)
            scores = _masked_like_queries(scores, args, kwargs)
        else:
            returned = scores = _replaced(returned, heard)
        for reading, tell in heard:
            if reading not in (REPLACEMENT, AROUND):
                tell(scores if reading == ATTENTION_SCORES else returned)
        return returned

    tell_and_return.listeners, tell_and_return.replaced = [], replaced
    return tell_and_return


def _replaced(returned, heard):
    """What a layer returns with the replacements heard, every one of its floating-point tensors through each."""
    functions = [function for reading, function in heard if reading == REPLACEMENT]
    if not functions:
        return returned

    def through(output):
        if not keras.ops.is_tensor(output) or "float" not in keras.backend.standardize_dtype(output.dtype):
            return output
        mask = getattr(output, "_keras_mask", None)
        for function in functions:
            output = function(output)
        if mask is not None:
            output._keras_mask = mask
        return output

    return keras.tree.map_structure(through, returned)


def _masked_like_queries(scores, args, kwargs):
    query = args[0] if args else kwargs.get("query")
    mask = kwargs.get("query_mask")
    mask = getattr(query, "_keras_mask", None) if mask is None else mask
    if mask is not None:
        scores._keras_mask = mask
    return scores


def _only(calls, layer):
    """The one call made where the model itself is called; Keras traces others to build layers on their first call."""
    here = [call for call in calls if _is_at_hand(call)]
    if len(here) == 1:
        return here[0]
    if not calls:
        raise ValueError(f"Layer '{layer.name}' is not called in the model's forward pass, so it has no output.")
    if not here:
        raise ValueError(
            f"Layer '{layer.name}' is called inside a loop, a condition or a tf.function of its own, where its output "
            "cannot be read. Name a layer outside."
        )
    raise ValueError(
        f"Layer '{layer.name}' is called {len(here)} times, so it has no single output. Add a layer after the call you "
        "mean (for example keras.layers.Identity) and name that."
    )


def _is_at_hand(outputs):
    """Whether outputs can be used where we are: they are values, or belong to the graph that is being made."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    return all(
        getattr(one, "graph", None) is graph for one in keras.tree.flatten(outputs) if tf.is_symbolic_tensor(one)
    )


def _shortened(names, most=40):
    return names if len(names) <= most else f"{names[:most]} and {len(names) - most} more"
