"""An exported file, opened in its own runtime and asked for probabilities."""

from pathlib import Path

import numpy as np

from tfdistill.errors import UserError

BATCH_SIZE = 1024
SCORE = "score"
RETRIEVAL_OUTPUTS = {"item", SCORE, "known"}


def open_artifact(path, threads=1):
    """Opens a SavedModel folder (in TensorFlow) or a .tflite file (in LiteRT).

    Args:
        path: what `export_saved_model` or `export_tflite` wrote, or another with one output called "probability",
            "probabilities" or "logit"; or what `export_retrieval` wrote, of which the scores of the list are returned.
        threads: threads that LiteRT may use for one prediction. TensorFlow's are a setting of the whole process, which
            is left alone here.

    Returns: an object with
        fields: {name: (dtype, shape of one example)}
        predict(inputs, batch_size=1024, progress=None) -> float32 [n], or [n, k] for k outputs: probabilities
        answer_one(row): runs one example, {name: array [1, ...]}, and returns the raw output; what latency is timed on

    Raises:
        UserError: nothing there, an unknown kind of file, a damaged one, or one without such an output.

    >>> open_artifact("student.tflite").predict({"user": [3, 5], "item": [17, 17]})
    array([0.91..., 0.34...], dtype=float32)
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    if path.is_dir():
        from tfdistill.evaluation.saved_model_artifact import SavedModelArtifact

        return SavedModelArtifact(path)
    from tfdistill.evaluation.tflite_artifact import TFLiteArtifact

    return TFLiteArtifact(path, threads)


class Artifact:
    """What the two kinds share: checking inputs, cutting batches, turning outputs into probabilities.

    A kind sets `path`, `fields` and `output`, and defines `_run(batch)` and `answer_one(row)`.
    """

    def predict(self, inputs, batch_size=BATCH_SIZE, progress=None):
        """The probabilities of rows.

        Args:
            inputs: {field: array [n, ...]}; integers for ids, numbers for float fields.
            batch_size: rows a call.
            progress: called as (rows done, rows in all) after every call.

        Returns: float32 [n] for one output, [n, k] for several.

        Raises:
            UserError: a field is missing or unknown, or its shape or dtype does not fit.
        """
        inputs = self.checked(inputs)
        rows = len(next(iter(inputs.values())))
        outputs = []
        for start in range(0, rows, batch_size):
            outputs.append(self._run({name: values[start : start + batch_size] for name, values in inputs.items()}))
            if progress is not None:
                progress(min(start + batch_size, rows), rows)
        output = np.concatenate(outputs)
        if self.output == "logit":
            output = probabilities(output)
        return output[:, 0] if output.shape[-1] == 1 else output

    def checked(self, inputs):
        """`inputs` as contiguous arrays of the dtypes that the file takes; raises UserError where they do not fit."""
        missing, unknown = sorted(set(self.fields) - set(inputs)), sorted(set(inputs) - set(self.fields))
        if missing or unknown:
            wrong = [
                f"{kind} {', '.join(names)}" for kind, names in (("missing", missing), ("unknown", unknown)) if names
            ]
            raise UserError(f"{self.path}: {'; '.join(wrong)}. It takes the fields {', '.join(sorted(self.fields))}.")
        arrays = {name: self._checked_field(name, inputs[name]) for name in self.fields}
        lengths = {name: len(values) for name, values in arrays.items()}
        if len(set(lengths.values())) > 1 or not next(iter(lengths.values())):
            raise UserError(f"{self.path}: expected one number of rows, at least 1, in all fields, received {lengths}.")
        return arrays

    def _checked_field(self, name, values):
        dtype, shape = self.fields[name]
        values = np.asarray(values)
        if values.ndim != 1 + len(shape) or any(
            size is not None and size != given for size, given in zip(shape, values.shape[1:], strict=True)
        ):
            expected = ", ".join("any" if size is None else str(size) for size in ("n", *shape))
            raise UserError(f"{self.path}: field {name}: expected shape ({expected}), received {values.shape}.")
        if np.dtype(dtype) == object:  # strings: raw ids
            allowed = "UO"
        else:
            allowed = "iub" if np.issubdtype(dtype, np.integer) else "iubf"
        if values.dtype.kind not in allowed:
            raise UserError(f"{self.path}: field {name}: expected {np.dtype(dtype)}, received {values.dtype}.")
        return np.ascontiguousarray(values, dtype)


def probabilities(logits):
    """Sigmoid of one logit [n, 1], softmax of several [n, k]; float32."""
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 1:
        return (1 / (1 + np.exp(-np.clip(logits, -500, 500)))).astype(np.float32)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def only_output(path, names):
    """The name of the output that counts: the only one, "probability", "probabilities" or "logit", or "score" of a
    retrieval file.

    Raises:
        UserError: for other outputs.
    """
    names = set(names)
    if SCORE in names and names <= RETRIEVAL_OUTPUTS:
        return SCORE
    if names not in ({"probability"}, {"probabilities"}, {"logit"}):
        found = ", ".join(sorted(names)) or "none"
        raise UserError(f"{path}: expected one output called probability, probabilities or logit, found {found}.")
    return names.pop()
