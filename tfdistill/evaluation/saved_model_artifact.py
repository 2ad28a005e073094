"""A SavedModel in TensorFlow, without Keras."""

import tensorflow as tf

from tfdistill.errors import UserError
from tfdistill.evaluation.artifact import Artifact, only_output


class SavedModelArtifact(Artifact):
    """See `tfdistill.evaluation.open_artifact`."""

    def __init__(self, path):
        self.path = path
        if not (path / "saved_model.pb").is_file():
            raise UserError(f"{path}: no SavedModel here (no file saved_model.pb).")
        try:
            self._loaded = tf.saved_model.load(str(path))
        except Exception as error:
            raise UserError(f"{path}: the SavedModel is damaged or cut short ({type(error).__name__}).") from error
        signatures = self._loaded.signatures
        if "serving_default" not in signatures:
            raise UserError(f"{path}: expected a signature serving_default, found {', '.join(signatures) or 'none'}.")
        self._serve = signatures["serving_default"]
        self._serve_one = signatures["serve_one"] if "serve_one" in signatures else self._serve
        self.output = only_output(path, self._serve.structured_outputs)
        specs = self._serve.structured_input_signature[1]
        self.fields = {name: (spec.dtype.as_numpy_dtype, tuple(spec.shape[1:])) for name, spec in specs.items()}
        self._settings = {name for name, spec in specs.items() if spec.shape.rank == 0}  # one for all rows, such as k

    def _run(self, batch):
        return self._serve(**self._tensors(batch))[self.output].numpy()

    def answer_one(self, row):
        """Runs one example, from arrays to an array, and returns the output."""
        return self._serve_one(**self._tensors(row))[self.output].numpy()

    def _tensors(self, rows):
        return {name: tf.constant(values[0] if name in self._settings else values) for name, values in rows.items()}
