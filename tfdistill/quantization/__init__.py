"""Quantisation-aware training: a model learns with the rounding that its int8 TFLite file will have.

Names are imported when they are first used.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "QuantizeScheme": "tfdistill.quantization.scheme",
    "QuantizedOutput": "tfdistill.quantization.outputs",
    "QuantizedWeight": "tfdistill.quantization.weights",
    "is_quantized": "tfdistill.quantization.quantize",
    "quantize_annotate_layer": "tfdistill.quantization.annotate",
    "quantize_annotate_model": "tfdistill.quantization.annotate",
    "quantize_apply": "tfdistill.quantization.annotate",
    "quantize_model": "tfdistill.quantization.quantize",
    "quantize_scope": "tfdistill.quantization.annotate",
    "strip_quantization": "tfdistill.quantization.quantize",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
