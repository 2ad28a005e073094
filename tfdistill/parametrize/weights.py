"""The weights of a model that a transform may be put on, each with the layer that it belongs to."""

import dataclasses
import difflib
import fnmatch

import keras

from tfdistill._layers import layer_paths

# Layers whose weights scale what comes in, element by element, though they may have several axes.
_SCALING = (
    keras.layers.PReLU,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
)


@dataclasses.dataclass(frozen=True)
class Weight:
    """A variable of a model that a layer made to be trained.

    Attributes:
        path: the names from the model down to the layer, then the variable's: "encoder/attention/query/kernel".
        layer: the layer that made it.
        name: the variable's name: "kernel", "embeddings", "recurrent_kernel", ...
        variable: the `keras.Variable`.
        index: its place in `model.variables`.
    """

    path: str
    layer: keras.layers.Layer
    name: str
    variable: keras.Variable
    index: int

    @property
    def layer_path(self):
        """The layer's part of the path."""
        return self.path.rpartition("/")[0]

    @property
    def is_multiplied(self):
        """Whether it is a kernel or a table of at least two axes, whatever its name, rather than a bias, scale or slope."""
        if isinstance(self.layer, _SCALING) or "bias" in self.name:
            return False
        return len(self.variable.shape) >= 2 and is_float(self.variable)

    def matches(self, patterns):
        """Whether the layer's name, its path, the weight's path, or the end of one fits one of the patterns.

        Args:
            patterns: names, paths or shell patterns such as "embed_*", or layers themselves.
        """
        for pattern in patterns:
            if not isinstance(pattern, str):
                if pattern is self.layer or any(self.layer is part for part in pattern._flatten_layers()):
                    return True
            elif any(
                fnmatch.fnmatchcase(path, wanted)
                for path in (self.layer_path, self.path)
                for wanted in (pattern, f"*/{pattern}", f"{pattern}/*", f"*/{pattern}/*")
            ):
                return True
        return False


def is_float(variable):
    """Whether a variable holds floating-point numbers."""
    return "float" in keras.backend.standardize_dtype(variable.dtype)


def weights_of(model):
    """All weights of a model, or of a layer, that its layers made to be trained, a shared one once.

    Args:
        model: built `keras.Model`, of any kind, or layer.

    Returns: list of `Weight`, in the order of `model.variables`.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="hidden")])
    >>> [weight.path for weight in weights_of(model)]
    ['hidden/kernel', 'hidden/bias']
    """
    places = {id(variable): index for index, variable in enumerate(model.variables)}
    found = {}
    for path, layer in {"": model, **layer_paths(model)}.items():
        for variable in layer._trainable_variables:
            if id(variable) in places:
                full = f"{path}/{variable.name}" if path else variable.name
                found.setdefault(id(variable), Weight(full, layer, variable.name, variable, places[id(variable)]))
    return sorted(found.values(), key=lambda weight: weight.index)


def patterns_of(argument, given):
    """A list of patterns from what a user gave: one or several names, paths, shell patterns or layers; `None` stays.

    Raises:
        ValueError: for anything else, and for an empty list.
    """
    if given is None:
        return None
    patterns = [given] if isinstance(given, (str, keras.layers.Layer)) else given
    if not isinstance(patterns, (list, tuple)) or not all(
        isinstance(one, (str, keras.layers.Layer)) for one in patterns
    ):
        raise ValueError(
            f"`{argument}` must be a list of names, paths, patterns or layers. Received: {argument}={given!r}"
        )
    if not patterns:
        raise ValueError(f"`{argument}` must not be empty; leave it out to have all. Received: {argument}={given!r}")
    return list(patterns)


def fitting(weights, patterns, argument, model_name):
    """Those of the weights that fit one of the patterns; all where `patterns` is `None`.

    Args:
        weights: list of `Weight`, those to choose from.
        patterns: from `patterns_of`.
        argument: the argument that they came in, for messages.
        model_name: the model's name, for messages.

    Raises:
        ValueError: where a pattern fits none of the weights; names the nearest.
    """
    if patterns is None:
        return list(weights)
    for pattern in patterns:
        if any(weight.matches([pattern]) for weight in weights):
            continue
        name, paths = pattern if isinstance(pattern, str) else pattern.name, [weight.path for weight in weights]
        names = {*paths, *(weight.layer_path for weight in weights), *(weight.layer.name for weight in weights)}
        near = difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.4)
        nearest = f" The nearest: {', '.join(map(repr, near))}." if near else ""
        raise ValueError(
            f"`{argument}`: {name!r} fits no kernel or table of {model_name!r} that can be chosen.{nearest} "
            f"These can be: {paths}"
        )
    return [weight for weight in weights if weight.matches(patterns)]
