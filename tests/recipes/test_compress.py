"""The steps after distillation: what a recipe says of them, in which order they run, and a whole run of them."""

import json

import keras
import numpy as np
import pytest

from tfdistill.errors import UserError
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.manifest import Manifest
from tfdistill.recipes.progress import Reporter
from tfdistill.recipes.roles import SHORT_LABELS, base_role, role_label
from tfdistill.recipes.runner import Run
from tfdistill.recipes.stages import plan
from tfdistill.recipes.stages.common import open_model, student_stage
from tfdistill.recipes.stages.compress import apply_step, compressions, first_epoch
from tfdistill.recipes.stages.rehearsal import rehearse

ALL = (
    "compress=["
    "{kind: prune, sparsity: 0.5, train: {epochs: 2}, formats: [tflite_float32]},"
    "{kind: cluster, number_of_clusters: 4, preserve_sparsity: true, layers: [hidden_1], train: {epochs: 1}, formats: []},"
    "{kind: quantize_aware, train: {epochs: 1}}]"
)
STEPS = ["prune", "prune cluster", "prune cluster quantize_aware"]
PRUNE = "compress=[{kind: prune}]"


def step(recipe_file, text, *more):
    """The first step of a recipe's `compress`, given as YAML."""
    return load_recipe(recipe_file, [f"compress=[{text}]", *more]).compress[0]


def refusal(recipe_file, text):
    with pytest.raises(UserError) as caught:
        load_recipe(recipe_file, [f"compress=[{text}]"])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_recipe_compresses_nothing_unless_it_says_so(recipe_file):
    assert load_recipe(recipe_file).compress == ()


def test_a_step_trains_as_the_student_did_before_in_every_key_that_it_does_not_say(recipe_file):
    more = ["student.train={batch_size: 64, dropout: 0.1, learning_rate: 0.5}", "distill.train={learning_rate: 0.25}"]
    both = step(recipe_file, "{kind: prune, train: {epochs: 7}}", *more)
    assert (both.train.epochs, both.train.batch_size, both.train.dropout, both.train.learning_rate) == (
        7,
        64,
        0.1,
        0.25,
    )
    alone = both.train_alone
    assert (alone.epochs, alone.batch_size, alone.dropout, alone.learning_rate) == (7, 64, 0.1, 0.5)


def test_what_is_said_of_the_student_alone_goes_before_what_is_said_of_the_step(recipe_file):
    both = step(recipe_file, "{kind: prune, train: {epochs: 7, batch_size: 32}, train_alone: {epochs: 3}}")
    assert (both.train_alone.epochs, both.train_alone.batch_size, both.train.epochs) == (3, 32, 7)


def test_the_second_task_of_training_on_labels_goes_on_alone_only(recipe_file):
    both = step(recipe_file, "{kind: prune}", "student.train.exposure_weight=0.5")
    assert both.train_alone.exposure_weight == 0.5 and not hasattr(both.train, "exposure_weight")


def test_a_resolved_recipe_reads_as_itself(recipe_file):
    from tfdistill.recipes.schema import Recipe

    recipe = load_recipe(recipe_file, [ALL])
    assert Recipe.model_validate(recipe.resolved()) == recipe


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{kind: purne}", "compress[0].kind: expected one of 'prune', 'cluster', 'quantize_aware', received 'purne'"),
        ("{kind: prune, sparsity: 1}", "compress[0].sparsity: expected a number above 0 and below 1, received 1"),
        ("{kind: prune, sparsity: 0.2, initial_sparsity: 0.3}", "initial_sparsity: expected at most sparsity (0.2)"),
        ("{kind: prune, number_of_clusters: 4}", "number_of_clusters: only with kind 'cluster', this kind is 'prune'"),
        ("{kind: prune, layers: []}", "compress[0].layers: expected a list of at least one"),
        ("{kind: cluster, number_of_clusters: 1}", "number_of_clusters: expected a whole number of at least 2"),
        ("{kind: quantize_aware, weight_bits: 9}", "weight_bits: expected a whole number from 2 to 8, received 9"),
        ("{kind: quantize_aware, formats: [tflite_float32]}", "compress[0].formats[0]: expected 'tflite_int8'"),
        ("{kind: prune}, {kind: prune, train: {epochs: 0}}", "compress[1].train.epochs: expected a whole number"),
    ],
)
def test_a_step_that_cannot_be_is_refused_in_one_line(recipe_file, text, told):
    assert told in refusal(recipe_file, text)


def test_each_step_goes_on_from_the_one_before_with_and_without_the_teacher(recipe_file):
    found = compressions(load_recipe(recipe_file, [ALL]))
    assert [(one.role, one.before, one.key) for one in found] == [
        ("alone prune", "alone", "compress[0]"),
        ("alone prune cluster", "alone prune", "compress[1]"),
        ("alone prune cluster quantize_aware", "alone prune cluster", "compress[2]"),
        ("distilled prune", "distilled", "compress[0]"),
        ("distilled prune cluster", "distilled prune", "compress[1]"),
        ("distilled prune cluster quantize_aware", "distilled prune cluster", "compress[2]"),
    ]
    assert found[0].train is found[0].step.train_alone and found[3].train is found[3].step.train


def test_a_step_of_the_distilled_student_needs_the_soft_targets_and_one_alone_does_not(recipe_file):
    stages = {stage.name: stage for stage in plan(load_recipe(recipe_file, [ALL, "student_seeds=[5]"]))}
    assert stages["alone_prune_seed5"].needs == ("data", "alone_seed5")
    assert stages["distilled_prune_cluster_seed5"].needs == ("data", "distilled_prune_seed5", "soft_targets")
    assert set(stages["export"].needs) >= {"alone_prune_seed5", "distilled_prune_cluster_quantize_aware_seed5"}


def keys(recipe):
    """What each stage of a recipe depends on."""
    from tfdistill.recipes.runner import _key

    found = {}
    for stage in plan(recipe):
        found[stage.name] = _key(stage, found)
    return found


def test_a_change_of_a_step_makes_that_step_and_those_after_it_run_again(recipe_file):
    changed = ALL.replace("number_of_clusters: 4", "number_of_clusters: 5")
    before, after = (keys(load_recipe(recipe_file, [text, "student_seeds=[1]"])) for text in (ALL, changed))
    assert {name for name in before if before[name] != after[name]} == {
        *(f"{base}_prune_cluster{more}_seed1" for base in ("alone", "distilled") for more in ("", "_quantize_aware")),
        *("export", "evaluation"),
    }


def test_the_files_of_a_step_are_no_reason_to_train_it_again(recipe_file):
    changed = ALL.replace("formats: []", "formats: [tflite_int8]")
    before, after = (keys(load_recipe(recipe_file, [text])) for text in (ALL, changed))
    assert {name for name in before if before[name] != after[name]} == {"export", "evaluation"}


@pytest.mark.parametrize(
    ("text", "epochs", "expected"),
    [
        ("{kind: prune, ramp: 0.5}", 4, 1),  # all zeros are there after 2 epochs: the end of epoch 1, counted from 0
        ("{kind: prune, ramp: 0.6}", 4, 2),
        ("{kind: prune, ramp: 1}", 4, 3),
        ("{kind: prune, ramp: 0.01}", 4, 0),
        ("{kind: prune, ramp: 0.5}", 1, 0),
        ("{kind: prune, ramp: 1, m_by_n: [2, 4]}", 4, 0),
        ("{kind: quantize_aware, delay: 0.5}", 6, 2),
        ("{kind: quantize_aware}", 6, 0),
        ("{kind: cluster}", 6, 0),
    ],
)
def test_no_epoch_is_kept_that_ends_before_the_step_has_done_what_it_does(recipe_file, text, epochs, expected):
    assert first_epoch(step(recipe_file, text), epochs) == expected


def test_an_epoch_before_the_first_kept_one_is_never_chosen():
    from tfdistill.recipes.schema_steps import Steps
    from tfdistill.training import train

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    settings = Steps(epochs=3, batch_size=4, learning_rate=0.1)
    columns, weights, scores = (np.ones((8, 1), np.float32), np.ones((8, 1), np.float32)), [], iter([0.9, 0.6, 0.7])

    def score():
        weights.append(model.get_weights())
        return next(scores)

    train(model, lambda epoch: columns, settings, seed=1, rows_per_epoch=8, score=score, metric="luck", first_kept=1)
    np.testing.assert_array_equal(model.get_weights()[0], weights[2][0])


def test_roles_are_told_in_words():
    assert base_role("distilled prune cluster") == "distilled"
    assert base_role("assistant 2") == "assistant 2" and base_role("teacher") == "teacher"
    assert role_label("alone") == "student alone"
    assert role_label("alone prune") == "student alone, pruned"
    assert role_label("distilled cluster quantize_aware", SHORT_LABELS) == "distilled, clustered, quantisation-aware"
    assert role_label("assistant 1") == "assistant 1"
    assert student_stage("distilled prune", 3) == "distilled_prune_seed3"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{kind: prune, layers: [hiden_1]}", r"^compress\[0\]: .*hiden_1"),
        ("{kind: cluster, layers: ['hid*', nowhere]}", r"^compress\[0\]: .*nowhere"),
        ("{kind: quantize_aware, layers: [hiden_1]}", r"^compress\[0\]: .*hiden_1"),
        ("{kind: prune}, {kind: prune}", r"^compress\[1\]: "),
    ],
)
def test_a_step_that_does_not_fit_the_student_is_refused_in_one_line(recipe_file, finished, text, told):
    recipe = load_recipe(recipe_file, [f"compress=[{text}]"])
    with pytest.raises(UserError, match=told) as caught:
        rehearse(Run(recipe, finished, Reporter(quiet=True)))
    assert "\n" not in str(caught.value)


def test_it_is_refused_before_anything_is_trained(recipe_file, tmp_path, quietly):
    with pytest.raises(UserError, match=r"^compress\[0\]: .*hiden_1"):
        quietly(load_recipe(recipe_file, ["compress=[{kind: prune, layers: [hiden_1]}]"]), tmp_path)
    (folder,) = (tmp_path / "tiny").iterdir()
    assert [stage["name"] for stage in Manifest.read(folder).record["stages"]] == ["data"]


def test_pruning_reaches_its_sparsity_with_the_ramp(recipe_file):
    """At the last step of the ramp, wherever that falls between two updates, half of the 32 numbers are zero."""
    from tfdistill.parametrize import strip

    settings = step(recipe_file, "{kind: prune, sparsity: 0.5, ramp: 0.5, frequency: 7}")
    model = apply_step(settings, keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), steps=30)
    x = np.ones((2, 8), np.float32)
    for _ in range(16):
        model(x, training=True)
    assert np.count_nonzero(strip(model).layers[-1].kernel.numpy()) == 16


@pytest.fixture(scope="module")
def compressed(recipe_file, finished, quietly):
    """A run with all steps, beside the finished one without them, under another recipe's name."""
    return quietly(load_recipe(recipe_file, [ALL, "name=smaller", "student_seeds=[1]"]), finished.parent.parent)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def kernels(model):
    return {weight.path: weight.numpy() for weight in model.weights if weight.path.endswith(("kernel", "embeddings"))}


def test_what_another_recipe_has_done_is_taken_from_its_run(compressed, finished):
    assert compressed.parent != finished.parent
    reused = [stage["name"] for stage in Manifest.read(compressed).record["stages"] if stage["reused"]]
    assert reused == ["data", "teacher", "soft_targets", "alone_seed1", "distilled_seed1"]


def test_every_step_is_a_row_after_the_student_that_it_was_made_from(compressed):
    from tfdistill.recipes.report.entries import read_entries

    metrics = metrics_of(compressed)
    roles = list(dict.fromkeys(entry.role for entry in read_entries(metrics)))
    alone, distilled = ([base, *(f"{base} {done}" for done in STEPS)] for base in ("alone", "distilled"))
    assert roles == ["teacher", *alone, *distilled]
    labels = {model["role"]: model["label"] for model in metrics["models"]}
    assert labels["distilled prune cluster"] == "distilled student, pruned, clustered"
    page = (compressed / "report.html").read_text()
    assert all(f'<th scope="row" title="{label}">' in page for label in labels.values())


def test_zeros_and_shared_values_are_in_the_models_to_the_last_step(compressed):
    from tfdistill.parametrize import strip

    for base in ("alone", "distilled"):
        pruned, shared = (
            strip(open_model(compressed / f"{base}_{name}_seed1" / "model.keras"))
            for name in ("prune", "prune_cluster")
        )
        for kernel in kernels(pruned).values():
            assert np.mean(kernel == 0) >= 0.5 - 1 / kernel.size
        for path, kernel in kernels(shared).items():
            if "hidden_1" in path:
                assert kernel.size > 4 and len(np.unique(kernel)) <= 4
            assert np.mean(kernel == 0) >= 0.5 - 1 / kernel.size, path


def test_the_int8_file_of_quantisation_aware_training_answers_as_its_model(compressed):
    metrics = metrics_of(compressed)
    for base in ("alone", "distilled"):
        role = f"{base} {STEPS[2]}"
        (entry,) = [entry for entry in metrics["artifacts"] if entry["role"] == role]
        (model,) = [model for model in metrics["models"] if model["role"] == role]
        assert entry["format"] == "tflite_int8"
        assert entry["test"]["auc"] == pytest.approx(model["test"]["auc"]["mean"], abs=0.01)
        assert entry["parity"]["mean"] < 0.01


def test_parameters_of_a_compressed_student_are_those_of_the_plain_one(compressed):
    parameters = {model["role"]: model["parameters"] for model in metrics_of(compressed)["models"]}
    assert {parameters[f"{base} {done}"] for base in ("alone", "distilled") for done in STEPS} == {parameters["alone"]}


def test_the_headline_is_of_the_students_before_compression_and_the_smallest_file_of_all(compressed):
    metrics = metrics_of(compressed)
    means = {model["role"]: model["test"]["auc"]["mean"] for model in metrics["models"]}
    assert metrics["summary"]["auc"] == {role: means[role] for role in ("teacher", "alone", "distilled")}
    sizes = [entry["bytes"] for entry in metrics["artifacts"] if entry["role"].startswith("distilled")]
    teacher = next(entry["bytes"] for entry in metrics["artifacts"] if entry["role"] == "teacher")
    assert metrics["summary"]["size_ratio_smallest"] == pytest.approx(teacher / min(sizes))
