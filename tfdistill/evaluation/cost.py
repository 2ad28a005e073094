"""Latency, throughput and memory of an exported file, measured in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tfdistill.errors import UserError

ROWS = 1000


def measure_cost(path, inputs, threads=1, latency_runs=1000):
    """Runs an artifact in a fresh process and measures what it costs.

    Args:
        path: a SavedModel folder or a .tflite file.
        inputs: {field: array [n, ...]}; at most 1,000 rows, spread evenly, are used.
        threads: threads for the runtime.
        latency_runs: timed runs at batch size 1, after 50 that are not.

    Returns: a dict
        latency_ms: {"p50", "p95", "p99", "batch": 1, "threads", "runs"}: wall time of one example through `serve_one`,
            from input arrays to output array
        throughput: {"examples_per_second", "batch": 256, "threads"}
        peak_memory_bytes: how much the peak of the process's memory (resident set) rose from just before the file was
            opened, its runtime already imported, to the end of all runs

    Raises:
        ValueError: `threads` or `latency_runs` below 1.
        UserError: the artifact cannot be opened or does not take these inputs.
        RuntimeError: the process failed or was killed; the message has the last line it wrote.

    >>> measure_cost("student.tflite", inputs)["latency_ms"]["p50"]
    0.007...
    """
    for name, value in (("threads", threads), ("latency_runs", latency_runs)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, received {value}.")
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "inputs.npz"
        np.savez(sample, **_sample(inputs))
        command = [sys.executable, "-m", "tfdistill.evaluation.measure", str(path), str(sample)]
        command += ["--threads", str(threads), "--latency-runs", str(latency_runs)]
        finished = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if finished.returncode:
        raise _failure(path, finished)
    return json.loads(finished.stdout.splitlines()[-1])


def _sample(inputs):
    arrays = {name: np.asarray(values) for name, values in inputs.items()}
    return {name: values[:: max(1, -(-len(values) // ROWS))] for name, values in arrays.items()}


def _environment():
    """The child finds this very tfdistill, and TensorFlow in it stays quiet."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _failure(path, finished):
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else "it wrote nothing to stderr"
    user_error = f"{UserError.__module__}.{UserError.__name__}: "
    if last.startswith(user_error):
        return UserError(last.removeprefix(user_error))
    if finished.returncode < 0:
        name = signal.Signals(-finished.returncode).name
        return RuntimeError(f"{path}: the measuring process was killed by {name} (out of memory?): {last}")
    return RuntimeError(f"{path}: the measuring process failed with code {finished.returncode}: {last}")
