"""Which weights of a model are pruned."""

import difflib

import keras

from tfdistill.parametrize.model import parametrized_parts
from tfdistill.parametrize.weights import weights_of
from tfdistill.sparsity.transform import MagnitudePruning


def prunable_weights(model):
    """The weights of a built model, or layer, that can be pruned.

    Those that a layer's own `get_prunable_weights()` returns, and of the layers without this method all kernels and
    tables of at least two axes. Not those that are pruned already.

    Raises:
        ValueError: where `get_prunable_weights` returns something else than trainable weights of the model.
    """
    weights = weights_of(model)
    declared = _declared(model, {id(weight.variable) for weight in weights})
    pruned = {id(weight.variable) for weight, _ in pruned_weights(model)}
    return [
        weight
        for weight in weights
        if declared.get(id(weight.variable), weight.is_multiplied) and id(weight.variable) not in pruned
    ]


def pruned_weights(model):
    """Pairs (`Weight`, its `MagnitudePruning`) of all parts of a model."""
    return [
        (weight, transform)
        for part in parametrized_parts(model)
        if part.weight_transforms
        for weight, transforms in part.transformed()
        for transform in transforms
        if isinstance(transform, MagnitudePruning)
    ]


def chosen_weights(weights, layers, model_name):
    """Those of the weights that fit `layers`.

    Args:
        weights: list of `Weight`, those to choose from.
        layers: names, paths, shell patterns or layers; a single one; or `None` for all.
        model_name: for messages.

    Raises:
        ValueError: where one of `layers` fits none of the weights.
    """
    if layers is None:
        return weights
    patterns = [layers] if isinstance(layers, (str, keras.layers.Layer)) else list(layers)
    if not patterns:
        raise ValueError("`layers` is empty, so nothing would be chosen. Leave it out for all weights.")
    for pattern in patterns:
        if not isinstance(pattern, (str, keras.layers.Layer)):
            raise ValueError(
                f"`layers` must hold names, paths, patterns or Keras 3 layers. Received: {pattern!r} of type "
                f"{type(pattern).__name__}"
            )
        if not any(weight.matches([pattern]) for weight in weights):
            raise ValueError(_nothing_fits(pattern, weights, model_name))
    return [weight for weight in weights if weight.matches(patterns)]


def _declared(model, trainable):
    """{id of a variable: whether `get_prunable_weights` returns it} of the layers that have this method."""
    declared = {}
    for layer in model._flatten_layers():
        if not callable(getattr(layer, "get_prunable_weights", None)):
            continue
        variables = list(layer.get_prunable_weights())
        if any(id(variable) not in trainable for variable in variables):
            raise ValueError(
                f"`get_prunable_weights` of layer {layer.name!r} must return trainable weights of the layer. Received: "
                f"{[getattr(variable, 'path', variable) for variable in variables]}"
            )
        prunable = {id(variable) for variable in variables}
        for variable in layer.variables:
            declared.setdefault(id(variable), id(variable) in prunable)
    return declared


def _nothing_fits(pattern, weights, model_name):
    name = pattern if isinstance(pattern, str) else pattern.name
    paths = [weight.path for weight in weights]
    names = {*paths, *(weight.layer_path for weight in weights), *(weight.layer.name for weight in weights)}
    near = difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.5)
    nearest = f" The nearest: {', '.join(map(repr, near))}." if near else ""
    return f"`layers`: {name!r} fits no weight of {model_name!r} that can be chosen.{nearest} These can be: {paths}"
