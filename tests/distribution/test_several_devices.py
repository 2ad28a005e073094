"""Two devices, and two workers of which one is killed and started again, end with the weights of one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
RECIPE = """
name: tiny
seed: 1
student_seeds: [1]
data: {source: synthetic, users: 100, items: 60, interactions: 1500}
teacher:
  model: {kind: mlp, embedding_width: 4, hidden_units: [8]}
  train: {epochs: 3, batch_size: 128}
soft_targets: {unrated_ratio: 1}
student:
  model: {kind: mlp, embedding_width: 2, hidden_units: [8]}
  train: {epochs: 1, batch_size: 128}
distill: {unrated_ratio: 0.5, losses: [{kind: logits_distillation}, {kind: correlation_distillation}]}
compress:
- {kind: prune, sparsity: 0.5, train: {epochs: 1}, formats: []}
export: {formats: [tflite_float32], calibration_examples: 64}
evaluate: {latency_runs: 2}
"""
TOLD_WITHIN = 60  # seconds; TensorFlow looks after its workers every 10


def environment(**more):
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def start(script, *arguments, **more):
    command = [sys.executable, HERE / script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_workers(recipe, output, dies):
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]

    def worker(index):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        chosen = {"TF_CONFIG": json.dumps(config), "TFDISTILL_CHECKPOINT_SECONDS": "0"}
        return start("worker.py", recipe, output, "dies" if dies and index else "lives", **chosen)

    return worker(0), worker(1)


def models(output):
    from tfdistill.recipes.stages.common import open_model

    return {path.parent.name: open_model(path).get_weights() for path in sorted(output.glob("*/*/*/model.keras"))}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def on_two_devices(recipe, tmp_path_factory):
    """({check: the largest difference to one device}, folder of runs)"""
    folder = tmp_path_factory.mktemp("devices")
    process = start("two_devices.py", recipe, folder / "runs", folder / "told.json")
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error[-3000:]
    return json.loads((folder / "told.json").read_text()), folder / "runs"


@pytest.fixture(scope="module")
def on_two_workers(recipe, tmp_path_factory):
    """(what the chief said and returned when the other was killed, the state that was left, folder of runs)"""
    output = tmp_path_factory.mktemp("workers")
    chief, other = start_workers(recipe, output, dies=True)
    other.communicate(timeout=600)
    assert other.returncode == -9
    _, error = chief.communicate(timeout=TOLD_WITHIN)
    told = {"returned": chief.returncode, "error": error}
    left = [path.relative_to(output) for path in output.rglob(".unfinished-teacher*/*.npz")]
    again = start_workers(recipe, output, dies=False)
    for process in again:
        _, error = process.communicate(timeout=600)
        assert process.returncode == 0, error[-3000:]
    return told, left, output


@pytest.mark.parametrize(
    "check, bound",
    [
        ("distiller", 2e-5),  # weights and losses after six steps of Adam in float32, of sums over some ten terms
        ("retrieval, sums", 2e-5),
        ("retrieval, means", 2e-5),
        ("pruning", 1e-6),
        ("clustering", 1e-5),
        ("quantization, moving averages", 1e-5),
        ("quantization, learned ranges", 0.02),  # whose step is scaled by the number of values on each device
        ("loss scaling", 1e-5),  # steps that overflow on one device are skipped on both
    ],
)
def test_two_devices_train_what_one_does(on_two_devices, check, bound):
    assert on_two_devices[0][check] < bound


def test_the_survivor_of_a_killed_worker_says_so_in_one_line_and_returns_2(on_two_workers):
    told = on_two_workers[0]
    assert told["returned"] == 2
    lines = [line for line in told["error"].splitlines() if line.startswith("tfdistill: error:")]
    assert len(lines) == 1 and "another worker is gone" in lines[0]
    assert "Traceback" not in told["error"]


def test_a_worker_killed_in_an_epoch_leaves_the_state_of_the_epoch_before(on_two_workers):
    assert [path.name for path in on_two_workers[1]] == ["training_0.npz"]


def test_two_workers_killed_and_started_again_end_as_two_devices_do(on_two_devices, on_two_workers):
    expected, found = models(on_two_devices[1]), models(on_two_workers[2])
    assert list(found) == [
        *("alone_prune_seed1", "alone_seed1", "distilled_prune_seed1", "distilled_seed1", "teacher"),
    ]
    for stage, weights in expected.items():
        for ours, theirs in zip(found[stage], weights, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=stage)


def test_two_workers_leave_one_complete_run(on_two_workers):
    (manifest,) = on_two_workers[2].glob("*/*/manifest.json")
    record = json.loads(manifest.read_text())
    assert record["status"] == "complete"
    assert len({stage["name"] for stage in record["stages"]}) == len(record["stages"]) == 9
    assert not list(manifest.parent.glob(".partial-*")) and not list(manifest.parent.glob(".unfinished-*"))


def test_each_worker_labels_its_share(on_two_devices, on_two_workers):
    from tfdistill.soft_targets import SoftTargets

    (cache,) = on_two_workers[2].glob("*/*/soft_targets/cache")
    (other,) = on_two_devices[1].glob("*/*/soft_targets/cache")
    rows = [shard["rows"] for shard in json.loads((cache / "manifest.json").read_text())["shards"]]
    assert len(rows) == 2 and abs(rows[0] - rows[1]) <= 1
    ids = np.load(other / "shard-00000" / "example_id.npy")
    labelled, expected = (SoftTargets.open(path).lookup(ids)["logits"] for path in (cache, other))
    np.testing.assert_allclose(labelled, expected, atol=1e-5)
