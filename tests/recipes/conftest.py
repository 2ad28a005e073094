"""A recipe that runs in seconds, and a finished run of it."""

import os
import shutil

import pytest
from rich.console import Console

from tfdistill.evaluation import cost, measure
from tfdistill.recipes.loading import load_recipe

TINY = """
name: tiny
seed: 1
student_seeds: [1, 2]
data: {source: synthetic, users: 200, items: 100, interactions: 6000}
teacher:
  model: {kind: dcn_v2, embedding_width: 8, cross_layers: 1, hidden_units: [16]}
  train: {epochs: 2, batch_size: 256, dropout: 0.1, xla: false}
soft_targets: {unrated_ratio: 1}
student:
  model: {kind: mlp, embedding_width: 2, hidden_units: [8]}
  train: {epochs: 2, batch_size: 256, xla: false}
distill: {unrated_ratio: 0.5, train: {epochs: 2}}
export: {formats: [tflite_float32], calibration_examples: 256}
evaluate: {latency_runs: 5}
"""


@pytest.fixture(scope="module", autouse=True)
def timed_in_this_process():
    """Runs time their files here and briefly: a process for each file takes longer than all else in a tiny run.

    The run of `finished` is made before, as users make it, and tests/evaluation/test_cost.py looks at such processes.
    """

    def measured(path, inputs, threads=1, latency_runs=1000):
        return measure.measure(path, cost._sample(inputs), threads, latency_runs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "THROUGHPUT_SECONDS", 0.01)
        patch.setattr(measure, "_import_runtime", lambda path, threads: None)
        patch.setattr("tfdistill.evaluation.record.measure_cost", measured)
        patch.setattr("tfdistill.evaluation.measure_cost", measured, raising=False)
        yield


@pytest.fixture(scope="session")
def tiny():
    """The text of the recipe."""
    return TINY


@pytest.fixture(scope="session")
def quietly():
    """Returns a function (recipe, output) -> run folder that prints nothing."""
    from tfdistill.recipes.runner import run

    def run_quietly(recipe, output):
        with open(os.devnull, "w") as nowhere:
            return run(recipe, output=output, quiet=True, console=Console(file=nowhere))

    return run_quietly


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(recipe_file, quietly, tmp_path_factory):
    """The folder of a finished run, not to be changed."""
    return quietly(load_recipe(recipe_file), tmp_path_factory.mktemp("saved_models"))


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """A copy of the finished run, with the folder of all runs that holds it."""
    shutil.copytree(finished.parent.parent, tmp_path / "saved_models")
    return tmp_path / "saved_models" / finished.parent.name / finished.name
