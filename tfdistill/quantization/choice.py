"""Which weights and activations of a model a scheme rounds, and how."""

import difflib

from tfdistill._layers import layer_paths
from tfdistill.parametrize import Weight, weights_of
from tfdistill.parametrize.places import operations_of
from tfdistill.quantization import kinds
from tfdistill.quantization.outputs import QuantizedOutput
from tfdistill.quantization.placement import Placement
from tfdistill.quantization.weights import QuantizedWeight

_CLUSTERING = 1  # the order of transforms that share values


class Choice:
    """What `quantize_model` was asked for, applied once the model is built.

    Args:
        parametrized: the `Parametrized` around the model.
        scheme: `QuantizeScheme`.
        layers: list of names, paths, patterns and layers, or `None` for all.
        schemes: {id of a layer: its `QuantizeScheme`}, from annotations.
    """

    def __init__(self, parametrized, scheme, layers=None, schemes=None):
        self._parametrized, self._scheme = parametrized, scheme
        self._layers, self._schemes = layers, schemes or {}
        self._names = None

    def check(self, model):
        """Raises ValueError for patterns that fit nothing, and where nothing is left to round."""
        everything = [*weights_of(model), *(self._named(operation, model) for operation in operations_of(model))]
        for argument, patterns in (("layers", self._layers or []), ("overrides", self._scheme.overrides)):
            for pattern in patterns:
                if not any(one.matches([pattern]) for one in everything):
                    paths = [path for path in layer_paths(model) if path]
                    near = difflib.get_close_matches(str(pattern), paths, n=3, cutoff=0.4)
                    nearest = f" The nearest: {', '.join(map(repr, near))}." if near else ""
                    raise ValueError(
                        f"`{argument}`: no layer of {model.name!r} fits {pattern!r}.{nearest} Its layers: {paths[:40]}"
                    )
        rounded = [weight for weight in weights_of(model) if weight.is_multiplied]
        if not any(self._bits(weight) for weight in rounded) and not any(
            self._rounds_activations(operation, model) for operation in operations_of(model)[1:] or [model]
        ):
            raise ValueError(
                f"`layers` and the scheme leave nothing of {model.name!r} to quantise. Its weights: "
                f"{[weight.path for weight in weights_of(model)][:40]}"
            )

    def weights(self, weight):
        """The transform of a weight, or `None`."""
        bits = self._bits(weight) if weight.is_multiplied else None
        if bits is None:
            return None
        scheme = self._scheme_of(weight)
        axes = kinds.channel_axes(weight) if scheme.per_channel and not self._shares_values(weight) else ()
        return QuantizedWeight(bits, axes, scheme.ranges == "learned", scheme.delay_steps)

    def outputs(self, model, args, kwargs):
        """Pairs (layer or operation, `QuantizedOutput`)."""
        self.check(model)
        placement = Placement(model, args, kwargs, lambda operation: self._rounds_activations(operation, model))
        pairs = []
        for place in placement.places:
            scheme = self._scheme_of(self._named(place.chosen_by, model))
            transform = QuantizedOutput(
                place.where, scheme.ranges, scheme.ema_decay, scheme.delay_steps, fixed=place.fixed
            )
            pairs.append((place.operation, transform))
        return pairs

    def _scheme_of(self, one):
        """The scheme of a `Weight`, or of what `_named` made of a layer; `None` where it stays in float."""
        if self._layers is not None and not one.matches(self._layers):
            return None
        if id(one.layer) in self._schemes:
            return self._schemes[id(one.layer)]
        for pattern, scheme in self._scheme.overrides.items():
            if one.matches([pattern]):
                return scheme
        return self._scheme

    def _bits(self, weight):
        scheme = self._scheme_of(weight)
        return None if scheme is None else scheme.weight_bits

    def _rounds_activations(self, operation, model):
        scheme = self._scheme_of(self._named(operation, model))
        return scheme is not None and scheme.activation_bits is not None

    def _named(self, operation, model):
        """A layer or bare operation in the form in which patterns are matched."""
        if self._names is None:
            self._names = {id(layer): path for path, layer in reversed(layer_paths(model).items())}
        path = self._names.get(id(operation), operation.name)
        return Weight(f"{path}/", operation, "", None, -1)

    def _shares_values(self, weight):
        """Whether clustering gave the whole weight, not each of its channels, a few values."""
        transforms = {one.index: found for one, found in self._parametrized.transformed()}.get(weight.index, [])
        return any(one.order == _CLUSTERING and not getattr(one, "cluster_per_channel", False) for one in transforms)
