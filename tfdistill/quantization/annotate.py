"""TFMOT's way to choose layers: mark them, then apply."""

import contextlib

import keras

from tfdistill._families import is_tf_keras
from tfdistill.quantization.quantize import checked_scheme, is_quantized, quantized

_MARK = "_tfdistill_quantize"


def quantize_annotate_layer(to_annotate, quantize_config=None):
    """Marks a layer for `quantize_apply`, and returns it.

    Args:
        to_annotate: a layer of Keras 3, which stays what it is; or of tf_keras, which TFMOT wraps. For a list, a list.
        quantize_config: `QuantizeScheme` of this layer alone; for tf_keras, a QuantizeConfig of TFMOT.

    Raises:
        ValueError: for what is no layer.

    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), quantize_annotate_layer(keras.layers.Dense(8)), keras.layers.Dense(1)]
    ... )
    >>> quantized = quantize_apply(model)
    """
    if is_tf_keras(to_annotate) and not isinstance(to_annotate, (list, tuple)):
        from tfdistill.quantization.legacy import annotate_legacy_layer

        return annotate_legacy_layer(to_annotate, quantize_config)
    if isinstance(to_annotate, (list, tuple)):
        return [quantize_annotate_layer(one, quantize_config) for one in to_annotate]
    if not isinstance(to_annotate, keras.layers.Layer):
        raise ValueError(
            f"`to_annotate` must be a Keras 3 layer. Received: {to_annotate!r} of type {type(to_annotate).__name__}"
        )
    # Past Keras's tracking: a mark is no part of the layer.
    to_annotate.__dict__[_MARK] = None if quantize_config is None else checked_scheme(quantize_config)
    return to_annotate


def quantize_annotate_model(to_annotate):
    """Marks all layers of a model for `quantize_apply`, and returns it.

    Args:
        to_annotate: a `keras.Model` of any kind; or of tf_keras, which TFMOT annotates.
    """
    if is_tf_keras(to_annotate):
        from tfdistill.quantization.legacy import annotate_legacy_model

        return annotate_legacy_model(to_annotate)
    if not isinstance(to_annotate, keras.Model):
        raise ValueError(
            f"`to_annotate` must be a Keras 3 model. Received: {to_annotate!r} of type {type(to_annotate).__name__}"
        )
    return quantize_annotate_layer(to_annotate)


def quantize_apply(model, scheme=None, quantized_layer_name_prefix="quant_"):
    """Quantises the marked layers of a model; see `quantize_model`.

    Args:
        model: a model with layers that `quantize_annotate_layer` or `quantize_annotate_model` marked.
        scheme: `QuantizeScheme` of all layers that have none of their own; for tf_keras, a scheme of TFMOT.
        quantized_layer_name_prefix: as in TFMOT, used for tf_keras only.

    Raises:
        ValueError: where no layer is marked, and as `quantize_model`.
    """
    if is_tf_keras(model):
        from tfdistill.quantization.legacy import apply_legacy

        return apply_legacy(model, scheme, quantized_layer_name_prefix)
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(f"`model` must be a Keras 3 model. Received: {model!r} of type {type(model).__name__}")
    if is_quantized(model):
        raise ValueError(f"`model`: {model.name!r} is quantised already.")
    marked = [layer for layer in model._flatten_layers() if _MARK in layer.__dict__]
    if not marked:
        raise ValueError(
            f"`model`: no layer of {model.name!r} is annotated. Mark layers with quantize_annotate_layer, or the model with"
            " quantize_annotate_model, or call quantize_model."
        )
    schemes = {
        id(part): layer.__dict__[_MARK]
        for layer in marked
        if layer.__dict__[_MARK] is not None
        for part in layer._flatten_layers()
    }
    return quantized(model, scheme, marked, schemes)


@contextlib.contextmanager
def quantize_scope(*args):
    """The names that files of quantised models need: those of Keras 3 models none, since ours are registered.

    Args:
        *args: dicts {name: class} of your own, as in TFMOT.
    """
    names = {name: value for one in args for name, value in one.items()}
    with keras.saving.custom_object_scope(names):
        yield
