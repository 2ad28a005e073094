"""Times one artifact and watches its memory, in a process that does nothing else.

    python -m tfdistill.evaluation.measure ARTIFACT INPUTS.npz --threads 1 --latency-runs 1000

INPUTS.npz holds the fields as arrays [n, ...]. Writes one line of JSON to stdout. `tfdistill.evaluation.measure_cost`
starts it and reads that line.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

WARM_UP_RUNS = 50
THROUGHPUT_BATCH = 256
THROUGHPUT_SECONDS = 0.5
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def measure(path, inputs, threads=1, latency_runs=1000):
    """Measures an artifact in this process; see `tfdistill.evaluation.measure_cost` for what comes back.

    Args:
        path: a SavedModel folder or a .tflite file.
        inputs: {field: array [n, ...]}; the runs go through the rows in turn, so that lookups hit different rows.
        threads: threads for the runtime.
        latency_runs: timed runs at batch size 1.
    """
    _import_runtime(path, threads)
    from tfdistill.evaluation.artifact import open_artifact

    _reset_peak_memory()
    before = _peak_memory()
    artifact = open_artifact(path, threads)
    inputs = artifact.checked(inputs)
    latency = _latency(artifact, inputs, latency_runs)
    speed = _throughput(artifact, inputs)
    return {
        "latency_ms": {**latency, "batch": 1, "threads": threads, "runs": latency_runs},
        "throughput": {"examples_per_second": speed, "batch": THROUGHPUT_BATCH, "threads": threads},
        "peak_memory_bytes": _peak_memory() - before,
    }


def _latency(artifact, inputs, runs):
    count = len(next(iter(inputs.values())))
    rows = [{name: values[i : i + 1] for name, values in inputs.items()} for i in range(min(count, runs))]
    for number in range(WARM_UP_RUNS):
        artifact.answer_one(rows[number % len(rows)])
    milliseconds = np.empty(runs)
    for number in range(runs):
        row = rows[number % len(rows)]
        started = time.perf_counter_ns()
        artifact.answer_one(row)
        milliseconds[number] = (time.perf_counter_ns() - started) / 1e6
    return {name: float(np.percentile(milliseconds, share)) for name, share in (("p50", 50), ("p95", 95), ("p99", 99))}


def _throughput(artifact, inputs):
    batch = {name: np.resize(values, (THROUGHPUT_BATCH, *values.shape[1:])) for name, values in inputs.items()}
    for _ in range(3):
        artifact.predict(batch, THROUGHPUT_BATCH)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < THROUGHPUT_SECONDS:
        artifact.predict(batch, THROUGHPUT_BATCH)
        done += THROUGHPUT_BATCH
    return done / (time.perf_counter() - started)


def _import_runtime(path, threads):
    """Loads the runtime's code, so that the memory measured later is the artifact's."""
    if Path(path).is_dir():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.constant(0.0).numpy()
        import tfdistill.evaluation.saved_model_artifact  # noqa: F401
    else:
        import tfdistill.evaluation.tflite_artifact  # noqa: F401


def _reset_peak_memory():
    """Sets the peak back to what is in use now; where the system cannot, the peak so far stays."""
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        pass


def _peak_memory():
    """Bytes of memory that this process held at most."""
    try:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tfdistill.evaluation.measure", description=__doc__.split("\n")[0])
    parser.add_argument("artifact")
    parser.add_argument("inputs", help="an .npz file with the fields as arrays [n, ...]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latency-runs", type=int, default=1000)
    options = parser.parse_args(arguments)
    with np.load(options.inputs, allow_pickle=False) as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    print(json.dumps(measure(options.artifact, inputs, options.threads, options.latency_runs)))


if __name__ == "__main__":
    main()
