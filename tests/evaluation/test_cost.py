import json
import subprocess
import sys

import pytest

from tfdistill.errors import UserError
from tfdistill.evaluation import evaluate_artifact, measure_cost


@pytest.fixture(scope="module")
def tflite_record(student):
    calls = []
    user = student.inputs["user"]
    record = evaluate_artifact(
        student.int8,
        student.probability,
        student.inputs,
        student.label,
        user,
        latency_runs=60,
        k=5,
        progress=lambda *counts: calls.append(counts),
    )
    return record, calls


def test_the_record_has_every_key_of_metrics_json_and_is_json(tflite_record):
    record, _ = tflite_record
    assert set(record) == {
        *("bytes", "gzip_bytes", "parameters", "flops", "layers", "operators", "test", "parity"),
        *("latency_ms", "throughput", "peak_memory_bytes"),
    }
    assert list(record["test"]) == ["auc", "log_loss", "accuracy", "precision", "recall", "f1", "ndcg@5"]
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_quality_is_measured_on_the_file_itself(tflite_record, student):
    from tfdistill.evaluation import auc, open_artifact

    record, _ = tflite_record
    predicted = open_artifact(student.int8).predict(student.inputs)
    assert record["test"]["auc"] == auc(student.label, predicted)
    assert record["parity"]["max"] == abs(predicted - student.probability).max()
    assert 0 < record["parity"]["mean"] < record["parity"]["max"]


def test_cost_is_stated_with_its_conditions(tflite_record):
    record, _ = tflite_record
    latency = record["latency_ms"]
    assert (latency["batch"], latency["threads"], latency["runs"]) == (1, 1, 60)
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert record["throughput"]["batch"] == 256 and record["throughput"]["threads"] == 1
    assert record["throughput"]["examples_per_second"] > 0
    assert record["peak_memory_bytes"] > 0


def test_progress_ends_at_the_total(tflite_record):
    _, calls = tflite_record
    assert calls[-1] == (1560, 1560)
    assert calls == sorted(calls)


def test_a_saved_model_is_measured_alike(student):
    cost = measure_cost(student.saved_model, student.inputs, latency_runs=20)
    assert set(cost) == {"latency_ms", "throughput", "peak_memory_bytes"}
    assert cost["latency_ms"]["p50"] > 0 and cost["peak_memory_bytes"] > 0


def test_measuring_a_tflite_file_imports_neither_tensorflow_nor_keras(student, tmp_path):
    import numpy as np

    np.savez(tmp_path / "inputs.npz", **student.inputs)
    program = (
        "import sys; from tfdistill.evaluation.measure import main; main(sys.argv[1:]);"
        "print([name for name in ('tensorflow', 'keras', 'pandas') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(student.float32), str(tmp_path / "inputs.npz"), "--latency-runs", "5"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(lines[0])["latency_ms"]["runs"] == 5
    assert lines[1] == "[]"


def test_a_mistake_of_the_user_in_the_measuring_process_is_told_as_one(student, tmp_path):
    with pytest.raises(UserError, match="missing.tflite: no such file or folder"):
        measure_cost(tmp_path / "missing.tflite", student.inputs)
    with pytest.raises(UserError, match="unknown price"):
        measure_cost(student.float32, {**student.inputs, "price": student.inputs["age"]})


def python_that(tmp_path, does):
    """Stands in for the Python interpreter."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    return str(script)


def test_a_killed_process_is_told_with_its_last_line(student, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "echo loading >&2; kill -9 $$"))
    with pytest.raises(RuntimeError, match="killed by SIGKILL .*: loading"):
        measure_cost(student.float32, student.inputs)


def test_a_failed_process_is_told_with_its_last_line(student, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "echo first >&2; echo no runtime >&2; exit 3"))
    with pytest.raises(RuntimeError, match="failed with code 3: no runtime"):
        measure_cost(student.float32, student.inputs)


def test_runs_and_threads_below_one_are_refused(student):
    with pytest.raises(ValueError, match="threads: expected at least 1, received 0"):
        measure_cost(student.float32, student.inputs, threads=0)
    with pytest.raises(ValueError, match="latency_runs: expected at least 1, received 0"):
        measure_cost(student.float32, student.inputs, latency_runs=0)


def test_memory_grows_with_the_weights_that_are_read(tmp_path):
    """A table of 13 MB, looked up all over, is in memory afterwards; one of 32 KB is not noticed."""
    import keras
    import numpy as np

    from tfdistill.export import export_tflite

    peaks = []
    for rows in (1000, 400_000):
        x = keras.Input((), dtype="int32", name="user")
        table = keras.layers.Embedding(rows, 8, embeddings_initializer="ones")(x)
        path = export_tflite(
            keras.Model({"user": x}, keras.layers.Dense(1)(table)), tmp_path / "m.tflite", "tflite_float32"
        )
        user = np.random.default_rng(0).integers(0, rows, 1000)
        peaks.append(measure_cost(path, {"user": user}, latency_runs=1000)["peak_memory_bytes"])
    assert peaks[1] - peaks[0] > 3_000_000
