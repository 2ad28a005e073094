"""A whole run, small: what it leaves behind, what it skips, how it continues, what it takes as a teacher and as data."""

import json
import subprocess
import sys
import textwrap

import pytest

from tfdistill import files
from tfdistill.errors import UserError
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.manifest import Manifest
from tfdistill.recipes.stages import students

ONE_SEED = ["student_seeds=[1]"]


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def qualities(folder):
    """Everything of a run that its seed fixes: the scores of all models and files, epoch by epoch."""
    content = metrics(folder)
    models = [
        [
            (seed["test"], [(epoch["loss"], epoch["validation_auc"]) for epoch in seed["epochs"]])
            for seed in model["seeds"]
        ]
        for model in content["models"]
    ]
    return models, [(entry["label"], entry["test"], entry["bytes"]) for entry in content["artifacts"]]


def test_a_run_lists_every_file_it_wrote_with_its_sha256(finished):
    record = Manifest.read(finished).record
    listed = {entry["path"]: entry for stage in record["stages"] for entry in stage["files"]}
    listed |= {entry["path"]: entry for entry in record["files"]}
    written = {path.relative_to(finished).as_posix() for path in files.files_below(finished)}
    assert written - {"manifest.json", ".lock"} == set(listed)
    assert all(files.sha256(finished / path) == entry["sha256"] for path, entry in listed.items())
    assert record["status"] == "complete"


def test_a_run_records_seconds_and_peak_memory_of_every_stage(finished):
    stages = Manifest.read(finished).record["stages"]
    assert [stage["name"] for stage in stages] == [
        *("data", "teacher", "soft_targets", "alone_seed1", "alone_seed2", "distilled_seed1", "distilled_seed2"),
        *("export", "evaluation"),
    ]
    assert all(stage["seconds"] > 0 and stage["peak_memory_bytes"] > 1e6 for stage in stages)


def test_the_file_of_a_student_scores_as_the_student_does(finished):
    content = metrics(finished)
    artifact = next(entry for entry in content["artifacts"] if entry["role"] == "distilled")
    model = next(model for model in content["models"] if model["role"] == "distilled")
    student = next(seed for seed in model["seeds"] if seed["seed"] == artifact["seed"])
    assert artifact["test"]["auc"] == pytest.approx(student["test"]["auc"], abs=1e-5)
    assert artifact["parity"]["max"] < 1e-5


def test_a_second_run_changes_nothing_and_runs_no_stage(copy_of_finished, recipe_file, monkeypatch, quietly):
    before = Manifest.read(copy_of_finished).record["stages"]
    monkeypatch.setattr("tfdistill.training.train", lambda *args, **kwargs: pytest.fail("trained again"))
    again = quietly(load_recipe(recipe_file), copy_of_finished.parent.parent)
    assert again == copy_of_finished
    assert Manifest.read(again).record["stages"] == before


def test_a_run_killed_while_training_continues_to_the_same_numbers(
    recipe_file, finished, tmp_path, monkeypatch, quietly, tiny
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(students.TransferSet, "epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quietly(load_recipe(recipe_file), tmp_path)
    folder = tmp_path / "tiny" / load_recipe(recipe_file).run_name
    assert Manifest.read(folder).record["status"] == "running"
    assert not (folder / "distilled_seed1").exists() and not list(folder.glob(".partial-*"))
    assert qualities(quietly(load_recipe(recipe_file), tmp_path)) == qualities(finished)


def test_changing_the_distillation_leaves_teacher_and_baseline_as_they_are(copy_of_finished, recipe_file, quietly):
    losses = "distill.losses=[{kind: logits_distillation, temperature: 2}]"
    other = quietly(load_recipe(recipe_file, [losses]), copy_of_finished.parent.parent)
    assert other != copy_of_finished
    reused = {stage["name"]: stage["reused"] for stage in Manifest.read(other).record["stages"]}
    assert [name for name, was in reused.items() if was] == [
        *("data", "teacher", "soft_targets", "alone_seed1", "alone_seed2"),
    ]


def test_a_damaged_file_is_made_again(copy_of_finished, recipe_file, finished, quietly):
    (copy_of_finished / "alone_seed2" / "model.keras").write_bytes(b"damaged")
    quietly(load_recipe(recipe_file), copy_of_finished.parent.parent)
    assert qualities(copy_of_finished) == qualities(finished)


def test_two_processes_cannot_work_on_one_run(copy_of_finished, recipe_file, quietly):
    fcntl = pytest.importorskip("fcntl")
    with open(copy_of_finished / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another tfdistill is working on this very run"):
            quietly(load_recipe(recipe_file), copy_of_finished.parent.parent)


def test_a_keras_file_serves_as_the_teacher(finished, tmp_path, quietly, tiny):
    text = tiny[: tiny.index("teacher:")] + f"teacher: {{load: {finished}/teacher/model.keras}}\n"
    (tmp_path / "loaded.yaml").write_text(
        text.replace("name: tiny", "name: loaded") + tiny[tiny.index("soft_targets") :]
    )
    folder = quietly(load_recipe(tmp_path / "loaded.yaml"), tmp_path)
    assert qualities(folder)[0][1:] == qualities(finished)[0][1:]  # the students cannot tell
    teachers = [entry for entry in metrics(folder)["artifacts"] if entry["role"] == "teacher"]
    assert [entry["label"] for entry in teachers] == ["teacher, as loaded"]


def test_a_saved_model_that_gives_probabilities_serves_as_the_teacher(finished, tmp_path, quietly, tiny):
    from tfdistill.export import export_saved_model
    from tfdistill.recipes.stages.common import open_model

    export_saved_model(open_model(finished / "teacher" / "model.keras"), tmp_path / "teacher", output="probability")
    text = tiny[: tiny.index("teacher:")] + f"teacher: {{load: {tmp_path}/teacher, outputs: probabilities}}\n"
    (tmp_path / "loaded.yaml").write_text(
        text.replace("name: tiny", "name: loaded") + tiny[tiny.index("soft_targets") :]
    )
    loaded = metrics(quietly(load_recipe(tmp_path / "loaded.yaml", ONE_SEED), tmp_path))["models"][0]["test"]["auc"][
        "mean"
    ]
    assert loaded == pytest.approx(metrics(finished)["models"][0]["test"]["auc"]["mean"], abs=1e-6)


def test_a_teacher_that_reads_raw_ids_labels_rated_and_unrated_pairs_by_them(tmp_path, quietly, tiny):
    """The teacher's logit is user id / 100 + item id / 10, so that every soft target can be worked out by hand."""
    import keras
    import numpy as np

    from tfdistill.data import Dataset
    from tfdistill.soft_targets import SoftTargets

    ids = {name: keras.Input((), dtype="int32", name=name) for name in ("customer", "product")}
    tables = {"customer": np.arange(300) / 100, "product": np.arange(300) / 10}
    rows = []
    for name, table in tables.items():
        layer = keras.layers.Embedding(300, 1)
        rows.append(layer(ids[name]))
        layer.set_weights([table[:, None]])
    keras.Model(ids, keras.layers.Add()(rows)).save(tmp_path / "raw.keras")
    teacher = f"teacher: {{load: {tmp_path}/raw.keras, reads: raw, inputs: {{customer: user, product: item}}}}\n"
    text = tiny[: tiny.index("teacher:")] + teacher + tiny[tiny.index("soft_targets") :]
    (tmp_path / "raw.yaml").write_text(text.replace("name: tiny", "name: raw"))
    folder = quietly(load_recipe(tmp_path / "raw.yaml", ONE_SEED), tmp_path)

    dataset, pool = Dataset.load(folder / "data" / "dataset.npz"), np.load(folder / "soft_targets" / "pool.npz")
    soft_targets = SoftTargets.open(folder / "soft_targets" / "cache")
    training = dataset.rows("train")
    user, item = dataset.user_ids[dataset.user_row[training]], dataset.item_ids[dataset.item_row[training]]
    rated = soft_targets.lookup(dataset.example_id[training])["logits"]
    np.testing.assert_allclose(rated[:, 0], user / 100 + item / 10, rtol=1e-5)
    user, item = dataset.user_ids[pool["user_row"]], dataset.item_ids[pool["item_row"]]
    unrated = soft_targets.lookup(pool["example_id"])["logits"]
    np.testing.assert_allclose(unrated[:, 0], user / 100 + item / 10, rtol=1e-5)


def test_a_teacher_with_other_outputs_than_the_student_is_refused_before_any_training(tmp_path, quietly, tiny):
    import keras

    ids = keras.Input((), dtype="int32", name="user")
    keras.Model({"user": ids}, keras.layers.Embedding(300, 3)(ids)).save(tmp_path / "wide.keras")
    text = tiny[: tiny.index("teacher:")] + f"teacher: {{load: {tmp_path}/wide.keras}}\n" + tiny[tiny.index("soft") :]
    (tmp_path / "wide.yaml").write_text(text.replace("name: tiny", "name: wide"))
    with pytest.raises(UserError, match=r"wide.keras.*3.*1"):
        quietly(load_recipe(tmp_path / "wide.yaml"), tmp_path)
    assert not list(tmp_path.glob("wide/*/alone*"))


def test_a_table_of_your_own_runs_to_the_report(tmp_path, quietly, tiny):
    import numpy as np

    generator = np.random.default_rng(0)
    user, item = generator.integers(0, 80, 4000), generator.integers(0, 40, 4000)
    stars = np.clip(np.round(3 + np.sin(user) + np.cos(item) + generator.normal(0, 0.5, 4000)), 1, 5)
    rows = [f"u{u},{i},{s:.0f},{'a' if u % 3 else 'b'},{i * 0.5}" for u, i, s in zip(user, item, stars, strict=True)]
    (tmp_path / "stars.csv").write_text("who,what,stars,group,price\n" + "\n".join(rows) + "\n")
    data = f"""
data:
  source: table
  path: {tmp_path}/stars.csv
  columns: {{user: who, item: what, rating: stars}}
  positive_above: 3
  features:
    group: {{of: user, kind: categorical}}
    price: {{of: item, kind: numeric}}
"""
    text = tiny.replace("data: {source: synthetic, users: 200, items: 100, interactions: 6000}", textwrap.dedent(data))
    (tmp_path / "own.yaml").write_text(text.replace("name: tiny", "name: own"))
    folder = quietly(load_recipe(tmp_path / "own.yaml", ONE_SEED), tmp_path)
    assert (folder / "report.html").stat().st_size > 10_000
    assert [field["name"] for field in metrics(folder)["data"]["fields"]] == ["user", "item", "group", "price"]
    assert metrics(folder)["models"][0]["test"]["auc"]["mean"] > 0.7


def test_a_full_disk_is_one_line_and_leaves_no_half_written_stage(recipe_file, tmp_path):
    """The disk is full from the first model on: writing to a file system that small is simulated at os.replace."""
    program = f"""
import errno, os, sys
from tfdistill import cli
real = os.replace
def full(source, target):
    if str(target).endswith("teacher"):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))
    return real(source, target)
os.replace = full
sys.exit(cli.main(["run", {str(recipe_file)!r}, "--output", {str(tmp_path)!r}, "--quiet"]))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr and "full" in answer.stderr
    assert not [path for path in tmp_path.rglob("*") if ".partial-" in path.name or path.name == "teacher"]
