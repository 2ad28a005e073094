"""Which weights of a model are clustered, and what is wrong with a choice."""

import keras

from tfdistill.clustering.clustered_weight import ClusteredWeight
from tfdistill.parametrize import Parametrized, WeightTransform, parametrized_parts, plain_model, weights_of
from tfdistill.parametrize.weights import fitting

CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


class Choice:
    """Gives the chosen weights of a model their transforms; where the choice is wrong, none.

    Args:
        model: what is clustered, built when the choice is first asked.
        layers: list of names, paths, shell patterns or layers, or `None` for all kernels and tables.
        transforms_of: function of the list of `Weight` chosen that returns {index: its `ClusteredWeight`}.
        may_be_none: whether it is right that the model has no weights to cluster.

    Attributes:
        model: may be set to a later wrapper of the same model, whose transforms then count as well.
    """

    def __init__(self, model, layers, transforms_of, may_be_none=False):
        self.model = model
        self._layers = layers
        self._transforms_of = transforms_of
        self._may_be_none = may_be_none
        self._transforms = None

    def __call__(self, weight):
        return self.transforms().get(weight.index)

    def transforms(self):
        """{index in the variables of the model: its transform}."""
        if self._transforms is None:
            weights = self._free_weights()
            self._transforms = self._transforms_of(weights) if weights else {}
        return self._transforms

    def _free_weights(self):
        """The weights that fit the patterns and are not clustered yet."""
        weights = _clusterable_weights(plain_model(self.model), spare_depthwise=self._layers is None)
        if not weights and self._may_be_none:
            return []
        if not weights:
            raise ValueError(f"`to_cluster` has no kernel or table to cluster. Received: {self.model!r}")
        weights = fitting(weights, self._layers, "layers", self.model.name)
        transforms = _transforms_by_variable(self.model)
        free = [
            weight
            for weight in weights
            if not any(isinstance(one, ClusteredWeight) for one in transforms.get(id(weight.variable), ()))
        ]
        if not free:
            raise ValueError(
                f"All weights of {self.model.name!r} that were chosen are clustered already: "
                f"{[weight.path for weight in weights]}"
            )
        if not isinstance(self.model, Parametrized):
            wrapped = [weight.path for weight in free if id(weight.variable) in transforms]
            if wrapped:
                raise ValueError(
                    f"In {self.model.name!r} a part already has transforms on the weights {wrapped}, and they would come after "
                    "clustering. Prune and cluster the same thing: the part, or the whole model."
                )
        return free


def is_convolution(layer):
    """Whether a layer's kernel has the channels that `cluster_per_channel=True` means."""
    return isinstance(layer, CONVOLUTIONS)


def _clusterable_weights(model, spare_depthwise):
    """Kernels and tables, or what a layer's own `get_clusterable_weights` names of the weights in it."""
    own = {}
    for layer in model._flatten_layers():
        if hasattr(layer, "get_clusterable_weights"):
            named = {id(variable) for _, variable in layer.get_clusterable_weights()}
            own.update({id(part): own.get(id(part), set()) | named for part in layer._flatten_layers()})

    def is_clusterable(weight):
        if isinstance(weight.layer, WeightTransform):
            return False
        if id(weight.layer) in own:
            return id(weight.variable) in own[id(weight.layer)]
        is_depthwise = isinstance(weight.layer, DEPTHWISE) or weight.name == "depthwise_kernel"
        return weight.is_multiplied and not (spare_depthwise and is_depthwise)

    return [weight for weight in weights_of(model) if is_clusterable(weight)]


def _transforms_by_variable(model):
    found = {}
    for part in parametrized_parts(model):
        for weight, transforms in part.transformed():
            found.setdefault(id(weight.variable), []).extend(transforms)
    return found
