"""Packages whose public names are imported when they are first used."""

import importlib


def lazy_names(package, homes):
    """Returns `(__getattr__, __dir__, __all__)` for a package's `__init__`.

    Args:
        package: the package's `__name__`.
        homes: {public name: the module that defines it}; a module itself is its own home.

    >>> __getattr__, __dir__, __all__ = lazy_names("tfdistill.export", {"describe": "tfdistill.export.contents"})
    """

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return get, lambda: sorted(homes), sorted(homes)
