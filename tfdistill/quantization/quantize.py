"""`quantize_model`: a model, or a layer, that is trained with the rounding of its int8 file."""

import keras

from tfdistill._families import is_tf_keras
from tfdistill.parametrize import Parametrized, parametrized_parts, plain_model, strip
from tfdistill.parametrize.weights import patterns_of
from tfdistill.quantization.choice import Choice
from tfdistill.quantization.outputs import QuantizedOutput
from tfdistill.quantization.scheme import QuantizeScheme
from tfdistill.quantization.weights import QuantizedWeight


def quantize_model(to_quantize, scheme=None, layers=None, quantized_layer_name_prefix="quant_"):
    """Returns the model with weights and activations that are rounded as in its int8 TFLite file.

    Kernels and tables: s round(w / s) on the grid of `QuantizedWeight`. Activations: the grid of `QuantizedOutput` after
    every layer that computes, over ranges found in training. Biases, normalisation and what is inside recurrent and
    attention layers stay in float between rounded weights. Train it, at least one step, under `fit`, a `Distiller` or a
    custom loop; `tfdistill.export.export_tflite(model, path, "tflite_int8")` then needs no calibration.

    Args:
        to_quantize: `keras.Model` of any kind, a layer (returned wrapped, to be used in a model), a list of layers, or
            what pruning or clustering returned: zeros stay zero, and a clustered weight has at most as many values as
            clusters. Models and layers of tf_keras go to TFMOT's own `quantize_model`.
        scheme: `QuantizeScheme`; by default 8 bits everywhere. For tf_keras, a scheme of TFMOT.
        layers: names, paths or patterns ("embed_*") of the layers to quantise, or layers; by default all.
        quantized_layer_name_prefix: as in TFMOT, used for tf_keras only.

    Returns: `tfdistill.parametrize.Parametrized` around the model, whose weights it shares; compile it before training.

    Raises:
        ValueError: for what is no model or layer, a model that is quantised already, names that fit no layer, and where
            nothing is left to quantise.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, arXiv 1712.05877.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    >>> quantized = quantize_model(model)
    >>> quantized.compile("adam", "mse")
    """
    if is_tf_keras(to_quantize):
        from tfdistill.quantization.legacy import quantize_legacy_model

        return quantize_legacy_model(to_quantize, scheme, layers, quantized_layer_name_prefix)
    return quantized(to_quantize, scheme, patterns_of("layers", layers))


def quantized(to_quantize, scheme, layers, schemes=None):
    """See `quantize_model`; `schemes`: {id of a layer: its own scheme}."""
    if isinstance(to_quantize, (list, tuple)):
        return [quantized(one, scheme, layers, schemes) for one in to_quantize]
    scheme = checked_scheme(scheme)
    if not isinstance(to_quantize, keras.layers.Layer):
        raise ValueError(
            "`to_quantize` must be a Keras 3 model, a layer or a list of layers. "
            f"Received: {to_quantize!r} of type {type(to_quantize).__name__}"
        )
    if is_quantized(to_quantize):
        raise ValueError(
            f"`to_quantize`: {to_quantize.name!r} is quantised already. Quantise the model that it was made of."
        )
    inner = plain_model(to_quantize)
    parts = [part.name for part in parametrized_parts(inner)]
    if parts:
        raise ValueError(
            f"`to_quantize`: layers of {inner.name!r} are wrapped one by one for pruning or clustering ({parts}). Prune or"
            " cluster the whole model instead, naming these layers, and quantise what that returns."
        )
    parametrized = to_quantize.again() if isinstance(to_quantize, Parametrized) else Parametrized(to_quantize)
    choice = Choice(parametrized, scheme, layers, schemes)
    if inner.built and all(layer.built for layer in inner._flatten_layers()):
        choice.check(inner)
    parametrized.choose(choice.weights, choice.outputs)
    return parametrized


def is_quantized(model):
    """Whether a model, or a part of it, is trained with rounding."""
    return any(
        any(isinstance(transform, QuantizedWeight) for transform in part.weight_transforms)
        or any(isinstance(transform, QuantizedOutput) for transform in part.output_transforms)
        or any(isinstance(getattr(choose, "__self__", None), Choice) for pair in part._choices for choose in pair)
        for part in parametrized_parts(model)
    )


def strip_quantization(model, in_place=False):
    """Returns the plain model of the original class with its weights on their grids; activations are in float again.

    Args:
        model: what `quantize_model` returned, or a functional or Sequential model with such layers.
        in_place: whether to write into the model inside, for models that cannot be made again from their config.

    Raises:
        ValueError: for a model that is not quantised, and one that cannot be copied.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> type(strip_quantization(quantize_model(model))).__name__
    'Sequential'
    """
    if not is_quantized(model):
        raise ValueError(
            f"`model` is not quantised, so there is nothing to strip. Received: {model!r} of type {type(model).__name__}"
        )
    return strip(model, in_place)


def checked_scheme(scheme):
    """The scheme, by default `QuantizeScheme()`."""
    if scheme is None:
        return QuantizeScheme()
    if not isinstance(scheme, QuantizeScheme):
        raise ValueError(f"`scheme` must be a tfdistill.quantization.QuantizeScheme. Received: scheme={scheme!r}")
    return scheme
