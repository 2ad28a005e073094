"""From a trained Keras ranker to files that other programs run: SavedModel and TFLite, and what is in such a file.

Names are imported when they are first used: looking into a TFLite file needs neither TensorFlow nor Keras.
"""

import importlib

_HOME = {
    "FORMATS": "tflite",
    "export_saved_model": "saved_model",
    "export_tflite": "tflite",
    "describe": "contents",
    "inspect_keras": "keras_contents",
    "inspect_saved_model": "saved_model_contents",
    "inspect_tflite": "tflite_contents",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__():
    return __all__
