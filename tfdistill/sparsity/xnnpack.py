"""Pruning where it makes a model faster on phones: 1x1 convolutions between a known beginning and end."""

import keras
from keras import layers

from tfdistill._layers import is_functional
from tfdistill.sparsity.policy import PruningPolicy

_ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "sigmoid")
_PASSED_THROUGH = (layers.Add, layers.Multiply, layers.ZeroPadding2D, layers.ReLU, layers.LeakyReLU, layers.ELU)


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes 1x1 convolutions alone, in models whose TFLite file XNNPACK runs faster when they are sparse.

    Such a model begins with ZeroPadding2D(1) and a 3x3 convolution of 3 channels with stride 2 and padding "valid", in
    every branch of the inputs, ends with GlobalAveragePooling2D, and has between them layers that
    XNNPACK runs on sparse weights: 1x1 and depthwise convolutions, batch normalisation, additions, multiplications,
    common activations.

    Reference: Elsen, Dukhan, Gale and Simonyan, "Fast Sparse ConvNets", 2019, arXiv 1911.09723.
    """

    def allow_pruning(self, layer):
        """Whether a layer is a 1x1 convolution."""
        return isinstance(layer, layers.Conv2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model):
        """Raises `ValueError` that names what keeps the model from running faster."""
        if not is_functional(model):
            raise ValueError(
                f"{type(self).__name__} takes functional and built Sequential models, whose graph is known. "
                f"Received: {model!r} of type {type(model).__name__}"
            )
        graph = _Graph(model)
        begins = graph.reached(graph.inputs, graph.consumers, lambda layer: _is_beginning(layer, graph))
        if not begins:
            raise ValueError(
                f"{model.name!r}: every branch of the inputs must begin with ZeroPadding2D(1) and a 3x3 Conv2D of 3 input "
                'channels with strides=2 and padding="valid".'
            )
        ends = graph.reached(graph.outputs, graph.producers, _is_end)
        if not ends:
            raise ValueError(f"{model.name!r}: every branch of the outputs must end with GlobalAveragePooling2D.")
        waiting, seen = [after for layer in begins for after in graph.consumers(layer)], set()
        while waiting:
            layer = waiting.pop()
            if id(layer) in seen or any(layer is end for end in ends):
                continue
            seen.add(id(layer))
            if not _is_supported(layer, graph):
                raise ValueError(
                    f"{type(self).__name__}: layer {layer.name!r} ({type(layer).__name__}) is not one that XNNPACK runs on "
                    "sparse weights as it is set."
                )
            waiting.extend(graph.consumers(layer))


class _Graph:
    """Which layers of a functional model feed which."""

    def __init__(self, model):
        self._after, self._before = {}, {}
        self.inputs = [tensor._keras_history.operation for tensor in model.inputs]
        self.outputs = [tensor._keras_history.operation for tensor in model.outputs]
        function = model._functional if isinstance(model, keras.Sequential) else model
        for node in (node for nodes in function._nodes_by_depth.values() for node in nodes):
            for parent in node.parent_nodes:
                self._after.setdefault(id(parent.operation), []).append(node.operation)
                self._before.setdefault(id(node.operation), []).append(parent.operation)

    def consumers(self, layer):
        return self._after.get(id(layer), [])

    def producers(self, layer):
        return self._before.get(id(layer), [])

    def reached(self, sources, following, is_wanted):
        """The layers wanted that every path from the sources comes to; none where a path ends without one."""
        waiting, seen, found = list(sources), set(), []
        while waiting:
            layer = waiting.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if is_wanted(layer):
                found.append(layer)
            elif not following(layer):
                return []
            else:
                waiting.extend(following(layer))
        return found


def _is_beginning(layer, graph):
    return (
        isinstance(layer, layers.Conv2D)
        and tuple(layer.kernel.shape[:3]) == (3, 3, 3)
        and tuple(layer.strides) == (2, 2)
        and layer.padding == "valid"
        and _padding_before(layer, graph) == 1
    )


def _is_end(layer):
    return isinstance(layer, layers.GlobalAveragePooling2D)


def _padding_before(layer, graph):
    """The rows and columns that a ZeroPadding2D before the layer adds on every side; `None` if not the same."""
    before = graph.producers(layer)
    if len(before) != 1 or not isinstance(before[0], layers.ZeroPadding2D):
        return None
    sizes = {size for sides in before[0].padding for size in sides}
    return sizes.pop() if len(sizes) == 1 else None


def _is_supported(layer, graph):
    """Whether XNNPACK runs a layer in a sparse part of a model."""
    if isinstance(layer, (*_PASSED_THROUGH, layers.Dropout)):
        return True
    if isinstance(layer, layers.DepthwiseConv2D):
        return _is_depthwise_supported(layer, graph)
    if isinstance(layer, layers.Conv2D):
        ones = (tuple(layer.kernel_size), tuple(layer.strides), tuple(layer.dilation_rate))
        return layer.groups == 1 and ones == ((1, 1),) * 3
    if isinstance(layer, layers.BatchNormalization):
        return layer.axis in (-1, 3)
    if isinstance(layer, layers.UpSampling2D):
        return layer.interpolation == "bilinear"
    if isinstance(layer, layers.Activation):
        return keras.activations.serialize(layer.activation) in _ACTIVATIONS
    return type(layer).__name__ in ("Add", "Subtract", "Multiply", "Identity")  # operations of keras.ops


def _is_depthwise_supported(layer, graph):
    size, strides, padding = tuple(layer.kernel_size), tuple(layer.strides), layer.padding
    if layer.depth_multiplier != 1 or tuple(layer.dilation_rate) != (1, 1):
        return False
    if padding == "same":
        return size in ((3, 3), (5, 5)) and strides == (1, 1)
    padded = {(3, 3): 1, (5, 5): 2}.get(size)
    return padded is not None and strides in ((1, 1), (2, 2)) and _padding_before(layer, graph) == padded
