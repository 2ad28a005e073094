"""From a trained Keras ranker to files that other programs run: SavedModel and TFLite, and what is in such a file.

Names are imported when they are first used: looking into a TFLite file needs neither TensorFlow nor Keras.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "FORMATS": "tfdistill.export.tflite",
    "RETRIEVAL_FORMATS": "tfdistill.export.retrieval",
    "export_retrieval": "tfdistill.export.retrieval",
    "export_saved_model": "tfdistill.export.saved_model",
    "export_tflite": "tfdistill.export.tflite",
    "describe": "tfdistill.export.contents",
    "inspect_keras": "tfdistill.export.keras_contents",
    "inspect_saved_model": "tfdistill.export.saved_model_contents",
    "inspect_tflite": "tfdistill.export.tflite_contents",
    "stored_item_ids": "tfdistill.export.retrieval_ids",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
