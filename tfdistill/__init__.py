"""tfdistill: distil, compress, export and measure Keras recommenders.

The public names are loaded when first used, so that `import tfdistill` costs nothing and `tfdistill --help` is quick.
"""

from tfdistill._lazy import lazy_names

__version__ = "0.1.0"

_MODULES = (
    "clustering",
    "data",
    "evaluation",
    "export",
    "losses",
    "models",
    "optimizers",
    "parametrize",
    "quantization",
    "recipes",
    "schedules",
    "soft_targets",
    "sparsity",
    "teachers",
    "training",
)
_HOMES = {name: f"tfdistill.{name}" for name in _MODULES} | {
    "Distiller": "tfdistill.distiller",
    "RetrievalDistiller": "tfdistill.retrieval_distiller",
    "TeacherVectors": "tfdistill.retrieval_distiller",
    "UserError": "tfdistill.errors",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
