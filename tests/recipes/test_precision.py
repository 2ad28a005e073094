"""`precision` of teacher and student in a recipe, from the key to the files."""

import json
import shutil

import keras
import numpy as np
import pytest

from tfdistill.data import Dataset
from tfdistill.errors import UserError
from tfdistill.precision import policy_of
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.progress import Reporter
from tfdistill.recipes.report.sections import training_speed
from tfdistill.recipes.runner import Run
from tfdistill.recipes.stages import plan
from tfdistill.recipes.stages.artifacts import INDEX
from tfdistill.recipes.stages.common import open_model
from tfdistill.recipes.stages.teacher import Teacher, fingerprint
from tfdistill.soft_targets import SoftTargets

MIXED = [
    "teacher.precision=mixed_bfloat16",
    "student.precision=mixed_float16",
    "student_seeds=[1]",
    "teacher.train.epochs=1",
    "distill.train.epochs=1",
    "export.formats=[tflite_float16]",
    "evaluate.latency_runs=1",
]
CHOICES = "expected one of 'float32', 'mixed_float16', 'mixed_bfloat16'"
RETRIEVAL = """
name: retrieval
task: retrieval
data: {source: synthetic, users: 60, items: 30, interactions: 1000}
teacher: {model: {kind: two_tower}}
student: {model: {kind: bpr_mf}}
distill: {losses: [{kind: relaxed_ranking_distillation}]}
"""
IMAGES = """
name: images
data: {source: mnist}
teacher: {model: {kind: cnn}}
"""


@pytest.fixture
def of_retrieval(tmp_path):
    path = tmp_path / "retrieval.yaml"
    path.write_text(RETRIEVAL)
    return path


@pytest.fixture
def of_images(tmp_path):
    path = tmp_path / "images.yaml"
    path.write_text(IMAGES)
    return path


@pytest.mark.parametrize("key", ["teacher.precision", "student.precision"])
@pytest.mark.parametrize("file", ["recipe_file", "of_retrieval", "of_images"])
def test_it_is_float32_unless_said_and_what_it_cannot_be_is_told_in_one_line(request, file, key):
    file, section = request.getfixturevalue(file), key.partition(".")[0]
    assert getattr(load_recipe(file), section).precision == "float32"
    chosen = load_recipe(file, [f"{key}=mixed_bfloat16"])
    assert getattr(chosen, section).precision == "mixed_bfloat16"
    assert chosen.run_name != load_recipe(file).run_name
    with pytest.raises(UserError) as caught:
        load_recipe(file, [f"{key}=float16"])
    assert f"{key}: {CHOICES}" in str(caught.value) and "received 'float16'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_a_loaded_teacher_it_is_what_the_file_has_unless_said(recipe_file, of_retrieval, tmp_path):
    (tmp_path / "there.keras").touch()
    for file in (recipe_file, of_retrieval):
        assert load_recipe(file, [f"teacher={{load: {tmp_path}/there.keras}}"]).teacher.precision is None
        chosen = load_recipe(file, [f"teacher={{load: {tmp_path}/there.keras, precision: mixed_float16}}"])
        assert chosen.teacher.precision == "mixed_float16"


@pytest.fixture(scope="module")
def mixed(recipe_file, finished, tmp_path_factory):
    """A run of a bfloat16 teacher and a float16 student, with the data and the student alone of the finished run."""
    folder = tmp_path_factory.mktemp("mixed") / "run"
    kept_out = ("teacher", "soft_targets", "distilled_seed1", "export", "evaluation")
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(*kept_out))
    run = Run(load_recipe(recipe_file, MIXED), folder, Reporter(quiet=True))
    for stage in plan(run.recipe):
        run.keys[stage.name] = "its key"
        if stage.name in kept_out:
            keras.utils.set_random_seed(stage.seed)
            with run.working_on(stage) as place:
                result = stage.work(run, place, lambda *args, **kwargs: None)
                (place / "result.json").write_text(json.dumps(result))
    return run


def test_models_keep_what_they_were_trained_in(mixed, finished):
    assert policy_of(open_model(finished / "teacher" / "model.keras")).name == "float32"
    assert policy_of(open_model(mixed.path("teacher", "model.keras"))).name == "mixed_bfloat16"
    assert policy_of(open_model(mixed.path("distilled_seed1", "model.keras"))).name == "mixed_float16"


def test_soft_targets_of_a_mixed_teacher_are_float32_and_its_own(mixed, finished):
    cache = SoftTargets.open(mixed.path("soft_targets", "cache"), fingerprint=fingerprint(mixed, "teacher"))
    dataset = Dataset.load(finished / "data" / "dataset.npz")
    rows = dataset.rows("train")[:50]
    found = cache.lookup(dataset.example_id[rows])["logits"]
    assert found.dtype == np.float32
    teacher = open_model(mixed.path("teacher", "model.keras"))
    np.testing.assert_allclose(found, teacher.predict(dataset.inputs(rows), verbose=0), rtol=0.02, atol=0.02)
    with pytest.raises(UserError, match="another teacher"):
        of_float32 = fingerprint(Run(mixed.recipe, finished, Reporter(quiet=True)), "teacher")
        SoftTargets.open(mixed.path("soft_targets", "cache"), fingerprint=of_float32)


def test_every_file_of_a_mixed_student_says_what_the_model_says(mixed):
    index = json.loads(mixed.path("export", INDEX).read_text())
    assert [entry["format"] for entry in index if entry["role"] == "distilled"] == ["tflite_float16"]
    for entry in mixed.result("evaluation")["artifacts"]:
        assert entry["parity"]["max"] < 2e-3, entry["label"]
        assert not any(name.startswith("Flex") for name in entry["operators"])


def test_metrics_and_report_tell_it(mixed):
    from tfdistill.recipes.results import collect

    metrics = collect(mixed)
    told = {model["role"]: model["precision"] for model in metrics["models"]}
    assert told == {"teacher": "mixed_bfloat16", "alone": "mixed_float16", "distilled": "mixed_float16"}
    assert {row["mixed"] for row in training_speed(metrics)} == {"mixed_bfloat16", "mixed_float16"}


def test_a_float32_file_is_run_in_another_precision_as_a_teacher(recipe_file, finished):
    path, runs = finished / "teacher" / "model.keras", {}
    dataset = Dataset.load(finished / "data" / "dataset.npz")
    for precision in (None, "mixed_float16"):
        said = "" if precision is None else f", precision: {precision}"
        recipe = load_recipe(recipe_file, [f"teacher={{load: {path}{said}}}"])
        runs[precision] = Run(recipe, finished, Reporter(quiet=True))
    rows = dataset.rows("test")[:200]
    plain, mixed = (Teacher(run).rows(dataset, rows) for run in runs.values())
    assert 0 < np.abs(mixed - plain).max() < 0.01
    assert len({fingerprint(run, "teacher") for run in runs.values()}) == 2
