"""Plain models again: the transformed weights in a model of the original class, without a trace of the transforms."""

import keras
from keras import ops

from tfdistill.parametrize.model import Parametrized, parametrized_parts


def strip(model, in_place=False):
    """Returns the model inside, with the values that its weights were transformed to. Its outputs are the same.

    Output transforms, which quantisation-aware training puts on activations, are dropped: their model computes in float.

    Args:
        model: what `parametrize` returned, or a functional or Sequential model with such parts.
        in_place: whether to write into the model inside and return it, instead of a copy. It is then no longer the model
            that was trained: what the transforms rounded away is lost. For models that cannot be made from their config.

    Returns: a `keras.Model` or layer of the original class, not compiled.

    Raises:
        ValueError: for a model without transforms, and one that cannot be copied.

    >>> import keras
    >>> from tfdistill.sparsity import prune_low_magnitude
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> type(strip(prune_low_magnitude(model))).__name__
    'Sequential'
    """
    parts = parametrized_parts(model)
    if not parts:
        raise ValueError(f"`model` has no transforms to strip. Received: {model!r} of type {type(model).__name__}")
    if isinstance(model, Parametrized):
        return _stripped(model, in_place)
    if not isinstance(model, keras.Sequential) and getattr(model, "inputs", None) is None:
        raise ValueError(
            f"{type(model).__name__} {model.name!r} is a subclassed model with transforms on some of its layers: strip those"
            f" ({[part.name for part in parts]}) where they are, or put transforms on the whole model instead."
        )
    return _clone(model, in_place)


def _stripped(parametrized, in_place):
    inner, values = parametrized.model, parametrized.transformed_values()
    plain = inner if in_place else _copy(inner)
    for place, variable in enumerate(plain.variables):
        if place in values:
            variable.assign(values[place])
        elif plain is not inner:
            variable.assign(inner.variables[place])
    return plain


def _clone(model, in_place):
    """A functional or Sequential model with its parametrised parts stripped."""
    made = {}

    def clone(layer):
        if isinstance(layer, Parametrized):
            made[layer.name] = _stripped(layer, in_place)
        elif parametrized_parts(layer):
            made[layer.name] = strip(layer, in_place)
        else:
            made[layer.name] = type(layer).from_config(layer.get_config())
        return made[layer.name]

    plain = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.name in made and not parametrized_parts(layer):
            made[layer.name].set_weights(layer.get_weights())
    return plain


def _copy(model):
    """A model of the same class with variables of its own, its values left to the caller."""
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    try:
        with keras.saving.custom_object_scope(classes):
            copy = type(model).from_config(model.get_config())
            if not _matches(copy, model):
                copy.build_from_config(model.get_build_config() or {})
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} {model.name!r} cannot be made again from its config ({error}). Give it `get_config`, "
            "or pass in_place=True to have the transformed values written into the model itself."
        ) from error
    if not _matches(copy, model):
        raise ValueError(
            f"{type(model).__name__} {model.name!r} made again from its config has other variables. Pass in_place=True to "
            "have the transformed values written into the model itself."
        )
    return copy


def _matches(copy, model):
    return [tuple(ops.shape(one)) for one in copy.variables] == [tuple(ops.shape(one)) for one in model.variables]
