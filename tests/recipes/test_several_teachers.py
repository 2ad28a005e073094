"""Several teachers in a recipe: trained with seeds of their own or loaded, and combined to one word an example."""

import json
import os
import shutil

import keras
import numpy as np
import pytest

from tfdistill.data import Dataset
from tfdistill.errors import UserError
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.progress import Reporter
from tfdistill.recipes.runner import Run
from tfdistill.recipes.stages import artifacts, plan, soft_targets, teacher
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.rehearsal import rehearse
from tfdistill.soft_targets import SoftTargets

SEVERAL = ["teacher.members=2", "teacher.combine=probabilities", "teacher.weights=confidence", "student_seeds=[1]"]


def silent(*args, **kwargs):
    pass


@pytest.fixture(scope="module")
def taught(recipe_file, finished, tmp_path_factory):
    """A run of two teachers, weighed by the labels, with what the finished run has besides; up to the soft targets."""
    folder = tmp_path_factory.mktemp("several") / "run"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("teacher", "soft_targets", "export", "evaluation"))
    run = Run(load_recipe(recipe_file, SEVERAL), folder, Reporter(quiet=True))
    run.keys |= {"teacher": "the key of one stage", "soft_targets": "that of the next"}
    for stage in plan(run.recipe)[1:3]:
        keras.utils.set_random_seed(stage.seed)
        with run.working_on(stage) as place:
            (place / "result.json").write_text(json.dumps(stage.work(run, place, silent)))
    return run


@pytest.fixture(scope="module")
def dataset(finished):
    return Dataset.load(finished / "data" / "dataset.npz")


def members_of(run):
    return [keras.saving.load_model(path) for path in teacher.model_files(run, "teacher")]


def logits_of(models, inputs):
    return np.concatenate([model.predict(inputs, batch_size=1024, verbose=0) for model in models], axis=1).astype(
        "float64"
    )


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_the_members_are_trained_with_seeds_one_after_another(taught, finished):
    first, second = members_of(taught)
    alone = keras.saving.load_model(finished / "teacher" / "model.keras")  # trained with the recipe's seed
    for one, other in zip(first.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    kernel = "hidden_1"
    assert np.abs(first.get_layer(kernel).kernel - second.get_layer(kernel).kernel).max() > 0.1


def test_a_teacher_counts_by_how_well_it_knows_the_label_and_alike_where_there_is_none(taught, dataset):
    """CA-MKD: w_k = (1 - softmax_k(CE_k)) / (K - 1), and the mean of the probabilities with these weights."""
    members, cache = members_of(taught), SoftTargets.open(taught.path("soft_targets", "cache"))
    rows = dataset.rows("train")
    logits, label = logits_of(members, dataset.inputs(rows)), dataset.label[rows][:, None]
    errors = np.log1p(np.exp(np.where(label == 1, -logits, logits)))
    weights = 1 - np.exp(errors) / np.exp(errors).sum(axis=1, keepdims=True)
    expected = (weights * sigmoid(logits)).sum(axis=1)
    np.testing.assert_allclose(sigmoid(cache.lookup(dataset.example_id[rows])["logits"][:, 0]), expected, atol=1e-5)

    pool = np.load(taught.path("soft_targets", "pool.npz"))
    pairs = {name: pool[name] for name in ("user_row", "item_row", "context_row")}
    expected = sigmoid(logits_of(members, dataset.pair_inputs(**pairs))).mean(axis=1)
    np.testing.assert_allclose(sigmoid(cache.lookup(pool["example_id"])["logits"][:, 0]), expected, atol=1e-5)


def test_the_teachers_are_scored_together_and_without_a_look_at_the_labels(taught, dataset):
    from tfdistill.evaluation import auc

    rows = dataset.rows("test")
    together = sigmoid(logits_of(members_of(taught), dataset.inputs(rows))).mean(axis=1)
    result = taught.result("teacher")
    assert result["test"]["auc"] == pytest.approx(auc(dataset.label[rows], together), abs=1e-6)
    assert result["parameters"] == sum(model.count_params() for model in members_of(taught))
    assert {"0/hidden_1", "1/hidden_1"} <= {layer["name"] for layer in result["layers"]}


def test_several_teachers_are_not_exported_but_have_a_size(taught, tmp_path):
    artifacts.export_work(taught, tmp_path, silent)
    index = json.loads((tmp_path / artifacts.INDEX).read_text())
    assert {entry["role"] for entry in index} == {"alone", "distilled"}
    os.symlink(tmp_path, taught.path("export"))
    (record, *_) = artifacts.evaluation_work(taught, tmp_path, silent)["artifacts"]
    assert (record["label"], record["role"]) == ("teacher, 2 models", "teacher")
    assert record["bytes"] == sum(path.stat().st_size for path in teacher.model_files(taught, "teacher"))


def test_the_soft_targets_of_several_teachers_are_known_by_all_of_them(taught):
    (link,) = chain(taught.recipe)
    soft_targets.open_soft_targets(taught, link)
    changed = taught.recipe.model_copy(
        update={"teacher": taught.recipe.teacher.model_copy(update={"combine": "logits"})}
    )
    with pytest.raises(UserError, match="another teacher"):
        soft_targets.open_soft_targets(Run(changed, taught.folder, Reporter(quiet=True)), link)


def test_a_layer_is_named_after_its_teacher(recipe_file, finished):
    losses = "distill.losses=[{kind: hint_distillation, teacher_layer_name: %s, student_layer_name: hidden_1}]"
    rehearse(Run(load_recipe(recipe_file, [*SEVERAL, losses % "1/cross_1"]), finished, Reporter(quiet=True)))
    for name, told in (("cross_1", "'k/layer' with k from 0 to 1"), ("1/cross_9", "no layer named 'cross_9'")):
        with pytest.raises(UserError, match=rf"^distill\.losses\[0\]: .*{told}"):
            rehearse(Run(load_recipe(recipe_file, [*SEVERAL, losses % name]), finished, Reporter(quiet=True)))


def test_loaded_teachers_are_combined_by_their_weights(recipe_file, finished, dataset, tmp_path):
    model = keras.saving.load_model(finished / "teacher" / "model.keras")
    rows = dataset.rows("train")[:100]
    logits = logits_of([model], dataset.inputs(rows))
    model.get_layer("logits").set_weights([-2 * weight for weight in model.get_layer("logits").get_weights()])
    model.save(tmp_path / "other.keras")
    paths = f"[{finished}/teacher/model.keras, {tmp_path}/other.keras]"
    recipe = load_recipe(recipe_file, [f"teacher={{load: {paths}, weights: [3, 1]}}"])
    assert (recipe.teacher.combine, recipe.teacher.count) == ("logits", 2)
    asked = teacher.Teacher(Run(recipe, finished, Reporter(quiet=True)))
    np.testing.assert_allclose(asked.rows(dataset, rows), (3 - 2) / 4 * logits, atol=1e-5)
