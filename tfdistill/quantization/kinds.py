"""What a layer does to its input, as far as the place of a quantiser depends on it."""

import keras
from keras import layers

from tfdistill.parametrize import weights_of

# Layers with a kernel whose product TFLite computes in integers.
_WITH_KERNEL = tuple(
    getattr(layers, name)
    for name in (
        "Dense EinsumDense Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D"
        " DepthwiseConv2D SeparableConv1D SeparableConv2D"
    ).split()
)
_EINSUM = (layers.EinsumDense,)
# Layers with layers of their own that compute in float between int8 weights.
_OPAQUE = (layers.RNN, layers.Bidirectional, layers.Wrapper, layers.MultiHeadAttention, layers.GroupQueryAttention)
_TABLES = (layers.Embedding,)
# Layers that move, choose or drop values, so that what comes out is on the grid of what went in.
_PASSING = tuple(
    getattr(layers, name)
    for name in (
        "InputLayer Identity Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout GaussianDropout"
        " GaussianNoise ActivityRegularization Reshape Flatten Permute RepeatVector MaxPooling1D MaxPooling2D MaxPooling3D"
        " GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D Cropping1D Cropping2D Cropping3D ZeroPadding1D"
        " ZeroPadding2D ZeroPadding3D UpSampling1D UpSampling3D"
    ).split()
)
_PASSING_OPERATIONS = {
    "Reshape", "Squeeze", "ExpandDims", "Transpose", "GetItem", "Ravel", "Swapaxes", "Moveaxis", "Flip", "Max", "Slice",
    "MaxPool", "StopGradient", "Cast", "Split", "Take", "Repeat",
}  # fmt: skip
_FIXED_RANGES = {"sigmoid": (0.0, 255 / 256), "softmax": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
_FUSED = {"linear", "relu", "relu6"}
# Activations with an integer operator, and layers that are one. Not average pooling: TFLite keeps the input's grid there
# and rounds halves, a quarter of all results, another way.
_IN_INTEGERS = {*_FUSED, *_FIXED_RANGES, "gelu", "elu"}
_ONE_OPERATOR_BARE = {
    "Add",
    "Subtract",
    "Multiply",
    "Concatenate",
    "Mean",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Tanh",
    "Softmax",
}
_ONE_OPERATOR = (
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Concatenate,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.Softmax,
)


def is_unit(operation):
    """Whether a layer is taken as a whole, rather than as the layers in it; bare operations are, too."""
    if not isinstance(operation, layers.Layer):
        return True
    if isinstance(operation, layers.InputLayer):
        return False
    return _has_no_layers(operation) or isinstance(operation, _OPAQUE)


def parts_of_units(model):
    """ids of all layers inside layers that are taken as a whole."""
    return {
        id(part)
        for layer in model._flatten_layers()
        if isinstance(layer, _OPAQUE)
        for part in layer._flatten_layers(include_self=False)
    }


def has_kernel(unit):
    """Whether it multiplies its input with a weight."""
    if isinstance(unit, _WITH_KERNEL):
        return True
    if (
        not isinstance(unit, layers.Layer)
        or is_opaque(unit)
        or is_table(unit)
        or type(unit).__module__.startswith("keras.")
    ):
        return False
    return any(weight.is_multiplied for weight in weights_of(unit))


def is_opaque(unit):
    """Whether it computes in float, whatever comes in."""
    return isinstance(unit, _OPAQUE)


def is_table(unit):
    """Whether it looks rows up; TFLite would quantise the whole table again at every call."""
    return isinstance(unit, _TABLES)


def is_preparing(unit):
    """Whether it brings raw numbers to scale, which is better done in float than after rounding."""
    return isinstance(unit, (layers.Rescaling, layers.Normalization))


def is_passing(unit):
    """Whether what comes out is on the grid of what went in."""
    if not isinstance(unit, layers.Layer):
        return type(unit).__name__ in _PASSING_OPERATIONS
    if isinstance(unit, layers.UpSampling2D):
        return unit.interpolation == "nearest"
    if isinstance(unit, layers.Activation):
        return _activation(unit) == "linear"
    return isinstance(unit, _PASSING) or type(unit).__name__.startswith("Random")


def computes_in_integers(unit):
    """Whether TFLite has one integer operator for it, so that nothing in it needs a grid of its own."""
    if not isinstance(unit, layers.Layer):
        return type(unit).__name__ in _PASSING_OPERATIONS | _ONE_OPERATOR_BARE
    if isinstance(unit, layers.Activation):
        return _activation(unit) in _IN_INTEGERS
    if isinstance(unit, layers.Rescaling):
        return isinstance(unit.offset, (int, float)) and unit.offset == 0
    return is_passing(unit) or isinstance(unit, (*_WITH_KERNEL, *_ONE_OPERATOR)) or is_relu(unit)


def has_float_activation(unit):
    """Whether its fused activation is computed in float between integers."""
    return needs_rounding_before_activation(unit) and _activation(unit) not in _IN_INTEGERS


def concatenates(unit):
    """Whether it joins tensors. TFLite gives all of them one grid: that of one of them, if the result has none."""
    return isinstance(unit, layers.Concatenate) or type(unit).__name__ == "Concatenate"


def is_batch_normalization(unit, rank=None):
    """Whether it normalises channels, the last of `rank` axes, so that it can be folded into a kernel before it."""
    return isinstance(unit, layers.BatchNormalization) and (rank is None or unit.axis in (-1, rank - 1))


def is_relu(unit):
    """Whether it can be fused into the operator before."""
    if isinstance(unit, layers.ReLU):
        return unit.negative_slope == 0 and unit.threshold == 0 and unit.max_value in (None, 6)
    if isinstance(unit, layers.Activation):
        return _activation(unit) in ("relu", "relu6")
    return not isinstance(unit, layers.Layer) and type(unit).__name__ in ("Relu", "Relu6")


def takes_batch_normalization(unit):
    """Whether a BatchNormalization after it can be folded into its kernel."""
    return isinstance(unit, _WITH_KERNEL) and not isinstance(unit, _EINSUM) and _activation(unit) == "linear"


def takes_relu(unit):
    """Whether a ReLU after it is fused into its operator."""
    if isinstance(unit, _WITH_KERNEL):
        return _activation(unit) == "linear"
    if isinstance(unit, layers.Layer):
        return isinstance(unit, (layers.BatchNormalization, layers.Add))
    return type(unit).__name__ == "Add"


def needs_rounding_before_activation(unit):
    """Whether its fused activation is an operator of its own in TFLite, between a product and a result."""
    return (
        isinstance(unit, _WITH_KERNEL)
        and _activation(unit) not in _FUSED
        and not isinstance(getattr(unit, "activation", None), layers.Layer)
    )


def fixed_range(unit):
    """(low, high) where the unit's last function has the range that TFLite gives it; else `None`."""
    if isinstance(unit, layers.Softmax):
        return _FIXED_RANGES["softmax"]
    if isinstance(unit, (*_WITH_KERNEL, layers.Activation)):
        return _FIXED_RANGES.get(_activation(unit))
    if isinstance(unit, layers.Layer):
        return None
    return _FIXED_RANGES.get(type(unit).__name__.lower())


def channel_axes(weight):
    """The axes of a weight along which TFLite can have scales of their own; () for one scale.

    Args:
        weight: `tfdistill.parametrize.Weight`.
    """
    layer, rank = weight.layer, len(weight.variable.shape)
    if is_table(layer) or "embedding" in weight.name or "table" in weight.name:
        return ()
    if isinstance(layer, layers.EinsumDense):
        taken, kernel = layer.equation.replace(" ", "").split("->")[0].split(",")
        return tuple(axis for axis, letter in enumerate(kernel) if letter not in taken)
    if weight.name == "depthwise_kernel" or isinstance(layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        return (rank - 2, rank - 1)
    if isinstance(layer, (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)):
        return (rank - 2,)
    return (rank - 1,)


def _activation(unit):
    function = getattr(unit, "activation", None)
    return "linear" if function is None else getattr(function, "__name__", type(function).__name__)


def _has_no_layers(layer):
    return not layer._flatten_layers(include_self=False, recursive=False) and not isinstance(layer, keras.Model)
