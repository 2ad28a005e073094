"""Which weights of a model are pruned."""

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
