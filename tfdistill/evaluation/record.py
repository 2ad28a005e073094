"""Everything a report says about one exported file."""

from tfdistill.evaluation.artifact import open_artifact
from tfdistill.evaluation.cost import measure_cost
from tfdistill.evaluation.metrics import class_metrics, click_metrics
from tfdistill.evaluation.parity import probability_difference
from tfdistill.export import describe

CONTENTS = ("bytes", "gzip_bytes", "parameters", "flops", "layers", "operators")


def evaluate_artifact(
    path, keras_probability, inputs, label, user=None, *, threads=1, latency_runs=1000, k=10, progress=None
):
    """Runs an exported ranker or classifier on labelled rows and measures its quality, its size and its cost.

    Args:
        path: a SavedModel folder or a .tflite file.
        keras_probability: float [n], or [n, classes], what the Keras model it was made from says about the same rows.
        inputs: {field: array [n, ...]}.
        label: [n], 0 or 1 for a ranker, the class for a classifier.
        user: int [n], for the ndcg of a ranker; None for a classifier.
        threads: threads for the runtime; they are stated in the result.
        latency_runs: timed runs at batch size 1.
        k: length of the list that ndcg looks at, with `user` only.
        progress: called as (done, total); a row predicted counts 1, a timed run counts 1.

    Returns: the record of one artifact in metrics.json, without label, role, format, path and seed: bytes, gzip_bytes,
        parameters, flops, test (see `click_metrics` and `class_metrics`), parity (see `probability_difference`),
        latency_ms, throughput and peak_memory_bytes (see `measure_cost`), layers and operators (see
        `tfdistill.export.inspect_tflite`).

    Raises: as those functions.

    >>> evaluate_artifact("student.tflite", keras_probability, inputs, label, user)["test"]["auc"]
    0.872...
    """
    total = len(label) + latency_runs

    def predicted(done, _):
        if progress is not None:
            progress(done, total)

    contents = describe(path)
    probability = open_artifact(path, threads).predict(inputs, progress=predicted)
    record = {key: contents[key] for key in CONTENTS}
    ranks = user is not None
    record["test"] = click_metrics(label, probability, user, k) if ranks else class_metrics(label, probability)
    record["parity"] = probability_difference(probability, keras_probability)
    record.update(measure_cost(path, inputs, threads, latency_runs))
    if progress is not None:
        progress(total, total)
    return record
