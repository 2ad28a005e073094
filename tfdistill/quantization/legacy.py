"""Models of tf_keras, which TFMOT itself quantises."""

from tfdistill._families import tfmot


def quantize_legacy_model(model, scheme, layers, prefix):
    """What `tfmot.quantization.keras.quantize_model` makes of the model, or of each of a list."""
    keras = _quantization()
    if layers is not None:
        raise ValueError(
            "`layers` works for Keras 3 models. For a tf_keras model annotate the layers with quantize_annotate_layer and"
            f" call quantize_apply. Received: layers={layers!r}"
        )
    if isinstance(model, (list, tuple)):
        return [quantize_legacy_model(one, scheme, layers, prefix) for one in model]
    if scheme is None:
        return keras.quantize_model(model, quantized_layer_name_prefix=prefix)
    annotated = keras.quantize_annotate_model(model)
    return keras.quantize_apply(annotated, scheme=_checked(scheme), quantized_layer_name_prefix=prefix)


def annotate_legacy_layer(layer, quantize_config):
    """What `tfmot.quantization.keras.quantize_annotate_layer` makes of a layer."""
    return _quantization().quantize_annotate_layer(layer, quantize_config=quantize_config)


def annotate_legacy_model(model):
    """What `tfmot.quantization.keras.quantize_annotate_model` makes of a model."""
    return _quantization().quantize_annotate_model(model)


def apply_legacy(model, scheme, prefix):
    """What `tfmot.quantization.keras.quantize_apply` makes of an annotated model."""
    keras = _quantization()
    if scheme is None:
        return keras.quantize_apply(model, quantized_layer_name_prefix=prefix)
    return keras.quantize_apply(model, scheme=_checked(scheme), quantized_layer_name_prefix=prefix)


def legacy_scope(*args):
    """`tfmot.quantization.keras.quantize_scope`."""
    return _quantization().quantize_scope(*args)


def _quantization():
    return tfmot("Quantisation-aware training").quantization.keras


def _checked(scheme):
    if type(scheme).__module__.startswith("tfdistill."):
        raise ValueError(
            "`scheme`: a tf_keras model is quantised by TFMOT, with a scheme of TFMOT's or none. "
            f"Received: scheme={scheme!r}"
        )
    return scheme
