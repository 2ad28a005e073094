"""Transforms on a model's weights and on its layers' outputs: the one mechanism under pruning, clustering, quantisation.

Names are imported when they are first used.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "OutputTransform": "tfdistill.parametrize.transforms",
    "Parametrized": "tfdistill.parametrize.model",
    "Weight": "tfdistill.parametrize.weights",
    "WeightTransform": "tfdistill.parametrize.transforms",
    "assign": "tfdistill.parametrize.transforms",
    "parametrize": "tfdistill.parametrize.model",
    "plain_model": "tfdistill.parametrize.model",
    "parametrized_parts": "tfdistill.parametrize.model",
    "strip": "tfdistill.parametrize.stripping",
    "weights_of": "tfdistill.parametrize.weights",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
