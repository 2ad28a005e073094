"""A whole run on images: what a classifier's recipe leaves behind, and what such a recipe may not say."""

import gzip
import json
import struct

import keras
import numpy as np
import pytest

from tfdistill.data import ImageDataset
from tfdistill.errors import UserError
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.manifest import Manifest
from tfdistill.recipes.progress import Reporter
from tfdistill.recipes.runner import Run
from tfdistill.recipes.stages.artifacts import best_seed
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.rehearsal import rehearse
from tfdistill.recipes.stages.soft_targets import open_soft_targets
from tfdistill.recipes.stages.transfer import TransferSet

SIZE, TRAINING, TEST = 8, 1500, 300
RECIPE = """
name: tiny_images
student_seeds: [1]
data: {source: mnist, path: PATH, labelled: 400, split: {train: 0.8, validation: 0.2}}
teacher:
  model: {kind: cnn, blocks: [{filters: 8, strides: 1}, {filters: 8}], hidden_units: [16]}
  train: {epochs: 6, batch_size: 40, learning_rate: 0.01, dropout: 0.1, xla: false}
soft_targets: {unrated_ratio: 1.5}
student:
  model: {kind: cnn, blocks: [{filters: 4, kernel_size: 2, strides: 2}], hidden_units: [8]}
  train: {epochs: 4, batch_size: 40, learning_rate: 0.02, xla: false}
distill: {losses: [{kind: logits_distillation, temperature: 2}], unrated_ratio: 1}
compress:
  - {kind: prune, train: {epochs: 2, learning_rate: 0.002}, formats: [tflite_float32]}
  - {kind: quantize_aware, train: {epochs: 1, learning_rate: 0.0005}}
export: {formats: [tflite_float32, tflite_int8], calibration_examples: 256}
evaluate: {latency_runs: 5}
"""
COMPRESSED = ["prune", "prune quantize_aware"]


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder of idx files: ten patterns, dimmed and noisy."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 2, (10, SIZE, SIZE)) * 150.0
    folder = tmp_path_factory.mktemp("digits")
    for stem, count in (("train", TRAINING), ("t10k", TEST)):
        label = random.integers(0, 10, count)
        strength = random.uniform(0.2, 1.0, (count, 1, 1))
        images = np.clip(patterns[label] * strength + random.normal(0, 40, (count, SIZE, SIZE)), 0, 255)
        pixels = struct.pack(">4B3I", 0, 0, 8, 3, count, SIZE, SIZE) + images.astype(np.uint8).tobytes()
        classes = struct.pack(">4BI", 0, 0, 8, 1, count) + label.astype(np.uint8).tobytes()
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pixels))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(classes))
    return folder


@pytest.fixture(scope="session")
def image_recipe(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny_images.yaml"
    path.write_text(RECIPE.replace("PATH", str(digits)))
    return path


@pytest.fixture(scope="session")
def image_run(image_recipe, quietly, tmp_path_factory):
    """The folder of a finished run, not to be changed."""
    return quietly(load_recipe(image_recipe), tmp_path_factory.mktemp("saved_models"))


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_metrics_are_those_of_classes_and_accuracy_is_the_first_of_them(image_run):
    metrics = metrics_of(image_run)
    assert metrics["task"] == "classification"
    assert metrics["data"] == {
        "rows": 1800,
        "train": 400,
        "validation": 300,
        "test": 300,
        "unlabelled": 800,
        "classes": 10,
        "image": [8, 8, 1],
    }
    roles = [model["role"] for model in metrics["models"]]
    steps = [f"{base} {done}" for base in ("alone", "distilled") for done in COMPRESSED]
    assert roles == ["teacher", "alone", "distilled", *steps]
    for model in metrics["models"]:
        assert set(model["test"]) == {"accuracy", "log_loss"}
        assert all({"loss", "validation_accuracy"} < set(epoch) for seed in model["seeds"] for epoch in seed["epochs"])
    assert set(metrics["summary"]["accuracy"]) == {"teacher", "alone", "distilled"} and "auc" not in metrics["summary"]


def test_the_models_have_learned(image_run):
    accuracy = {model["role"]: model["test"]["accuracy"]["mean"] for model in metrics_of(image_run)["models"]}
    assert accuracy["teacher"] > 0.8 and accuracy["distilled"] > 0.5
    assert accuracy["distilled prune quantize_aware"] > 0.5


def test_every_step_has_a_row_with_and_without_the_teacher_and_its_files(image_run):
    files = [(entry["role"], entry["format"]) for entry in metrics_of(image_run)["artifacts"]]
    for base in ("alone", "distilled"):
        made = [[format for role, format in files if role == f"{base} {done}"] for done in COMPRESSED]
        assert made == [["tflite_float32"], ["tflite_int8"]]


def test_the_files_take_an_image_and_answer_with_probabilities_as_the_model_does(image_run):
    from ai_edge_litert.interpreter import Interpreter

    dataset = ImageDataset.load(image_run / "data" / "dataset.npz")
    rows = dataset.rows("test")[:50]
    entries = {(entry["role"], entry["format"]): entry for entry in metrics_of(image_run)["artifacts"]}
    entry = entries["distilled", "tflite_float32"]
    serve = Interpreter(str(image_run / entry["path"])).get_signature_runner("serving_default")
    answer = serve(**dataset.inputs(rows))["probability"]
    assert {name: detail["dtype"] for name, detail in serve.get_input_details().items()} == {"image": np.float32}
    model = keras.saving.load_model(image_run / f"distilled_seed{entry['seed']}" / "model.keras", compile=False)
    np.testing.assert_allclose(answer, softmax(model.predict(dataset.inputs(rows), verbose=0)), atol=1e-5)
    assert entry["parity"]["max"] < 1e-5 and entry["test"]["accuracy"] > 0.5
    assert entry["latency_ms"]["p50"] > 0 and entry["flops"] > 0


def test_the_int8_file_of_the_last_step_scores_as_the_model_that_was_trained_with_its_rounding(image_run):
    role = f"distilled {COMPRESSED[-1]}"
    metrics = metrics_of(image_run)
    (entry,) = [entry for entry in metrics["artifacts"] if entry["role"] == role]
    model = next(model for model in metrics["models"] if model["role"] == role)
    seed = next(seed for seed in model["seeds"] if seed["seed"] == entry["seed"])
    assert entry["test"]["accuracy"] == pytest.approx(seed["test"]["accuracy"], abs=0.02)
    assert entry["parity"]["mean"] < 0.01


def test_the_exported_seed_is_the_one_most_accurate_on_validation(image_recipe):
    class Finished(Run):
        def result(self, stage):
            return {"validation": {"accuracy": {"alone_seed1": 0.7, "alone_seed2": 0.9, "alone_seed3": 0.8}[stage]}}

    recipe = load_recipe(image_recipe, ["student_seeds=[1, 2, 3]"])
    assert best_seed(Finished(recipe, "nowhere", Reporter(quiet=True)), "alone") == 2


def test_the_pool_holds_unlabelled_images_alone_with_the_teachers_logits_of_each(image_run, image_recipe):
    dataset = ImageDataset.load(image_run / "data" / "dataset.npz")
    run = Run(load_recipe(image_recipe), image_run, Reporter(quiet=True))
    (link,) = chain(run.recipe)
    soft_targets, pool = open_soft_targets(run, link)
    assert len(pool["image_row"]) == 600 == len(set(pool["image_row"]))
    assert set(pool["image_row"]) <= set(dataset.rows("unlabelled"))
    teacher = keras.saving.load_model(image_run / "teacher" / "model.keras", compile=False)
    rows = np.concatenate([pool["image_row"], dataset.rows("train")])
    expected = teacher.predict(dataset.inputs(rows), verbose=0)
    np.testing.assert_allclose(soft_targets.lookup(dataset.example_id[rows])["logits"], expected, rtol=1e-4, atol=1e-4)

    transfer = TransferSet(dataset, soft_targets, pool, unrated_ratio=1.0)
    x, y = transfer.epoch(1)
    assert (len(y), y.dtype, (y == -1).sum()) == (800, np.int32, 400)
    np.testing.assert_array_equal(y[:400], dataset.label[dataset.rows("train")])
    # 600 images, 400 an epoch: the second epoch goes on from the 401st and begins again
    np.testing.assert_array_equal(x["image_row"][400:], np.roll(pool["image_row"], -400)[:400])
    np.testing.assert_allclose(x["teacher_logits"][400:600], expected[400:600], rtol=1e-4, atol=1e-4)


def test_the_report_speaks_of_accuracy_and_never_of_auc(image_run):
    page = (image_run / "report.html").read_text()
    assert "test accuracy" in page and "validation accuracy" in page and "unlabelled" in page
    assert "AUC" not in page
    assert page.index('<th scope="col">accuracy</th>') < page.index('<th scope="col">log loss</th>')


def test_the_terminal_table_has_a_column_of_accuracies_and_none_of_ndcg(image_run):
    import io

    from rich.console import Console

    from tfdistill.recipes.report import summary_table

    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(summary_table(metrics_of(image_run)))
    text = console.file.getvalue()
    assert "accuracy" in text and "ndcg" not in text and max(map(len, text.splitlines())) <= 100


def test_several_teachers_an_assistant_and_hidden_layers_teach_images_too(image_run, image_recipe, quietly):
    changes = [
        *("compress=[]", "export.formats=[tflite_float32]", "student.train.epochs=1"),
        *("teacher.members=2", "teacher.weights=confidence", "teacher.train.epochs=1"),
        "assistants=[{model: {kind: cnn, hidden_units: [12]}, distill: {losses: [{kind: decoupled_distillation}]}}]",
        "distill.losses=[{kind: logits_distillation}, {kind: hint_distillation, teacher_layer_name: hidden_1,"
        " student_layer_name: hidden_1, weight: 0.1}]",
        "distill.train={epochs: 1}",
    ]
    metrics = metrics_of(quietly(load_recipe(image_recipe, changes), image_run.parent.parent))
    assert [model["role"] for model in metrics["models"]] == ["teacher", "assistant 1", "alone", "distilled"]
    assert all(set(model["test"]) == {"accuracy", "log_loss"} for model in metrics["models"])


def test_a_loaded_teacher_may_read_the_bytes_as_they_are(image_run, image_recipe, quietly, tmp_path):
    """A teacher of raw pixels: the trained one behind a division by 255 scores what the trained one does."""
    teacher = keras.saving.load_model(image_run / "teacher" / "model.keras", compile=False)
    image = keras.Input((SIZE, SIZE, 1), name="image")
    keras.Model({"image": image}, teacher({"image": keras.layers.Rescaling(1 / 255)(image)})).save(
        tmp_path / "raw.keras"
    )
    load = f"teacher={{load: {tmp_path}/raw.keras, reads: raw}}"
    changes = [load, "compress=[]", "export.formats=[tflite_float32]", "student.train.epochs=1"]
    loaded = metrics_of(quietly(load_recipe(image_recipe, changes), tmp_path))["models"][0]["test"]
    trained = metrics_of(image_run)["models"][0]["test"]
    assert loaded["accuracy"]["mean"] == pytest.approx(trained["accuracy"]["mean"], abs=0.004)
    assert loaded["log_loss"]["mean"] == pytest.approx(trained["log_loss"]["mean"], rel=1e-3)


def test_a_pool_larger_than_the_unlabelled_images_is_refused_before_any_training(image_recipe, tmp_path, quietly):
    told = r"soft_targets\.unrated_ratio: expected at most 2, .* 800 others, received 3"
    with pytest.raises(UserError, match=told) as caught:
        quietly(load_recipe(image_recipe, ["soft_targets.unrated_ratio=3"]), tmp_path)
    assert "\n" not in str(caught.value)
    (folder,) = (tmp_path / "tiny_images").iterdir()
    assert [stage["name"] for stage in Manifest.read(folder).record["stages"]] == ["data"]


def test_a_layer_that_does_not_exist_is_refused_before_any_training(image_recipe, image_run):
    recipe = load_recipe(image_recipe, ["compress=[{kind: prune, layers: [conv_9]}]"])
    with pytest.raises(UserError, match=r"^compress\[0\]: .*conv_9"):
        rehearse(Run(recipe, image_run, Reporter(quiet=True)))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "student.model={kind: mlp}",
            "student.model.kind: expected 'cnn', since data.source is 'mnist', received 'mlp'",
        ),
        ("teacher.model={kind: dcn_v2}", "teacher.model.kind: expected 'cnn', since data.source is 'mnist'"),
        ("assistants=[{model: {kind: mlp}}]", "assistants[0].model.kind: expected 'cnn'"),
        ("student.train.exposure_weight=0.1", "student.train.exposure_weight: only for users and items"),
        ("distill.train.embedding_l2=0.1", "distill.train.embedding_l2: only for users and items"),
        (
            "compress=[{kind: prune, train_alone: {exposure_weight: 1}}]",
            "compress[0].train_alone.exposure_weight: only",
        ),
        ("soft_targets.draw=popularity", "soft_targets.draw: only for users and items"),
        ("evaluate.ndcg_k=5", "evaluate.ndcg_k: only for users and items"),
        ("data.labelled=null", "soft_targets.unrated_ratio: expected 0, since all images have a label"),
        ("data.labelled=0", "data.labelled: expected a whole number of at least 1 or null, received 0"),
        ("data.split={train: 0.5, validation: 0.1}", "data.split: expected shares that sum to 1"),
        ("data.path=nowhere", "data.path: expected a folder with the four idx .gz files or mnist.npz"),
        ("data.users=3", "data.users: only with source 'synthetic', this source is 'mnist'"),
        (
            "data={source: synthetic}",
            "teacher.model.kind: expected 'mlp' or 'dcn_v2', since data.source is 'synthetic', received 'cnn'",
        ),
    ],
)
def test_what_images_cannot_have_is_refused_in_one_line_when_the_recipe_is_read(image_recipe, override, told):
    with pytest.raises(UserError) as caught:
        load_recipe(image_recipe, [override])
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_of_images_needs_no_more_than_data_and_teacher():
    from tfdistill.recipes.schema import Recipe

    smallest = {"name": "small", "data": {"source": "mnist"}, "teacher": {"model": {"kind": "cnn"}}}
    recipe = Recipe.model_validate(smallest)
    assert recipe.student.model.kind == "cnn"
    assert (recipe.soft_targets.unrated_ratio, recipe.distill.unrated_ratio) == (0.0, 0.0)
    recipe = Recipe.model_validate(smallest | {"data": {"source": "mnist", "labelled": 10_000}})
    assert (recipe.soft_targets.unrated_ratio, recipe.distill.unrated_ratio) == (4.0, 2.0)
    assert Recipe.model_validate(recipe.resolved()) == recipe
