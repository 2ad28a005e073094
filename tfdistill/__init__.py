"""tfdistill: distil, compress, export and measure Keras recommenders.

The public names are loaded when first used, so that `import tfdistill` costs nothing and `tfdistill --help` is quick.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "Distiller": "tfdistill.distiller",
    "UserError": "tfdistill.errors",
}
_MODULES = ("data", "evaluation", "export", "losses", "models", "recipes", "teachers")

__all__ = [*_HOMES, *_MODULES, "__version__"]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"tfdistill.{name}")
    raise AttributeError(f"module 'tfdistill' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
