"""Teacher, assistants and students: who learns from whom, from which losses, and where it is reported."""

import json

import keras
import pytest

from tfdistill.errors import UserError
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.manifest import Manifest
from tfdistill.recipes.progress import Reporter
from tfdistill.recipes.runner import Run
from tfdistill.recipes.stages import plan, students
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.rehearsal import rehearse

CHAIN = [
    "student_seeds=[1]",
    "distill.losses=[{kind: logits_distillation, temperature: {kind: focal_temperature, base: 2}},"
    " {kind: hint_distillation, teacher_layer_name: hidden_1, student_layer_name: hidden_1,"
    " weight: {kind: warm_up, target: 2, steps: 0.5}}]",
    "distill.student_loss_weight={kind: linear, initial: 0, final: 1, steps: 2}",
    "distill.teacher_interval=2",
    "assistants=[{model: {kind: mlp, embedding_width: 4, hidden_units: [12]}, distill: {losses: [{kind:"
    " logits_distillation, temperature: 1}], student_loss_weight: 0.1, teacher_interval: 1}}]",
]


@pytest.fixture(scope="module")
def chained(recipe_file, finished, quietly):
    """A run with one assistant, beside the finished one, from which it takes what it can."""
    return quietly(load_recipe(recipe_file, CHAIN), finished.parent.parent)


def test_every_assistant_learns_from_the_one_before_it_and_the_students_from_the_last(recipe_file):
    model = "{kind: mlp, hidden_units: [%d]}"
    assistants = ", ".join(f"{{model: {model % width}}}" for width in (12, 10))
    links = chain(load_recipe(recipe_file, [f"assistants=[{assistants}]"]))
    assert [(link.teacher, link.soft_targets, link.learner) for link in links] == [
        ("teacher", "soft_targets", "assistant_1"),
        ("assistant_1", "soft_targets_1", "assistant_2"),
        ("assistant_2", "soft_targets_2", None),
    ]
    assert [link.model.hidden_units for link in links] == [(12,), (10,), (8,)]
    assert [link.key for link in links] == ["assistants[0].distill", "assistants[1].distill", "distill"]


def test_the_stages_of_a_chain_are_in_its_order_and_need_each_other(recipe_file):
    stages = {stage.name: stage for stage in plan(load_recipe(recipe_file, CHAIN))}
    assert list(stages)[:6] == ["data", "teacher", "soft_targets", "assistant_1", "soft_targets_1", "alone_seed1"]
    assert stages["assistant_1"].needs == ("data", "soft_targets")
    assert stages["soft_targets_1"].needs == ("data", "assistant_1")
    assert stages["distilled_seed1"].needs == ("data", "soft_targets_1")
    assert stages["assistant_1"].title == "teacher assistant 1"
    assert (stages["soft_targets"].settings["layers"], stages["soft_targets_1"].settings["layers"]) == (
        [],
        ["hidden_1"],
    )


def test_a_chain_takes_from_another_run_what_does_not_depend_on_it(chained):
    reused = [stage["name"] for stage in Manifest.read(chained).record["stages"] if stage["reused"]]
    assert reused == ["data", "teacher", "soft_targets", "alone_seed1"]


def test_assistants_are_reported_between_teacher_and_students_and_not_exported(chained):
    metrics = json.loads((chained / "metrics.json").read_text())
    assert [model["role"] for model in metrics["models"]] == ["teacher", "assistant 1", "alone", "distilled"]
    assistant = metrics["models"][1]
    assert assistant["label"] == "teacher assistant 1"
    saved = keras.saving.load_model(chained / "assistant_1" / "model.keras")
    assert assistant["parameters"] == saved.count_params()
    assert assistant["test"]["auc"]["count"] == 1 and assistant["seeds"][0]["seed"] == 1
    assert {artifact["role"] for artifact in metrics["artifacts"]} == {"teacher", "alone", "distilled"}
    assert "teacher assistant 1" in (chained / "report.html").read_text()


def test_the_distilled_student_carries_nothing_of_its_losses(chained, finished):
    shapes = [
        [weight.shape for weight in keras.saving.load_model(folder / "distilled_seed1" / "model.keras").weights]
        for folder in (chained, finished)
    ]
    assert shapes[0] == shapes[1]


def test_the_settings_of_distillation_reach_the_distiller_in_steps(recipe_file, finished):
    recipe = load_recipe(recipe_file, CHAIN)
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="hidden_1"), keras.layers.Dense(1)])
    distiller = students.build_distiller(
        student, student, recipe.distill, recipe.distill.losses, steps_per_epoch=10, unlabeled=-1.0
    )
    kd, hint = distiller.distillation_losses
    assert (kd.temperature.base, hint.teacher_layer_name) == (2.0, "hidden_1")
    assert (distiller.distillation_loss_weights[0], distiller.distillation_loss_weights[1].steps) == (1.0, 5)
    assert (distiller.student_loss_weight.steps, distiller.teacher_interval, distiller.unlabeled_value) == (20, 2, -1.0)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["distill.losses=[{kind: logits_distillation}, {kind: hint_distillation, teacher_layer_name: hiden_1}]"],
            r"^distill\.losses\[1\]: In teacher model: no layer named 'hiden_1'\. The nearest: 'hidden_1'",
        ),
        (
            ["distill.losses=[{kind: hint_distillation, teacher_layer_name: hidden_1, student_layer_name: hiden_1}]"],
            r"^distill\.losses\[0\]: In student model: no layer named 'hiden_1'",
        ),
        (
            [
                "distill.losses=[{kind: feature_distillation, teacher_layer_name: hidden_1,"
                " student_layer_name: hidden_1}]"
            ],
            r"^distill\.losses\[0\]: .*teacher \(8, 16\), student \(8, 8\)",
        ),
        (["distill.losses=[{kind: decoupled_distillation}]"], r"^distill\.losses\[0\]: .*two or more"),
        (
            [
                "distill.losses=[{kind: logits_distillation, weight: {kind: step, boundaries: [1, 1.001],"
                " values: [1, 2, 3]}}]"
            ],
            r"^distill\.losses\[0\]: `boundaries` must increase",
        ),
        (
            [
                "assistants=[{model: {kind: mlp}}]",
                "distill.losses=[{kind: relational_distillation, teacher_layer_name: cross_1}]",
            ],
            r"^distill\.losses\[0\]: In teacher model: no layer named 'cross_1'",  # the assistant has no crosses
        ),
        (
            [
                "assistants=[{model: {kind: mlp}, distill: {losses: [{kind: hint_distillation,"
                " teacher_layer_name: cross_2}]}}]"
            ],
            r"^assistants\[0\]\.distill\.losses\[0\]: In teacher model: no layer named 'cross_2'",
        ),
    ],
)
def test_a_distillation_that_cannot_work_is_refused_with_its_key(recipe_file, finished, overrides, told):
    with pytest.raises(UserError, match=told) as caught:
        rehearse(Run(load_recipe(recipe_file, overrides), finished, Reporter(quiet=True)))
    assert "\n" not in str(caught.value)


def test_it_is_refused_before_anything_is_trained(recipe_file, tmp_path, quietly):
    recipe = load_recipe(recipe_file, ["distill.losses=[{kind: hint_distillation, teacher_layer_name: deep}]"])
    with pytest.raises(UserError, match=r"no layer named 'deep'"):
        quietly(recipe, tmp_path)
    (folder,) = (tmp_path / "tiny").iterdir()
    assert [stage["name"] for stage in Manifest.read(folder).record["stages"]] == ["data"]


def test_a_layer_of_a_loaded_teacher_is_looked_for_in_its_file(recipe_file, finished):
    teacher = f"teacher={{load: {finished}/teacher/model.keras}}"
    losses = "distill.losses=[{kind: hint_distillation, teacher_layer_name: %s, student_layer_name: hidden_1}]"
    rehearse(Run(load_recipe(recipe_file, [teacher, losses % "cross_1"]), finished, Reporter(quiet=True)))
    with pytest.raises(UserError, match=r"^distill\.losses\[0\]: In teacher model: no layer named 'cross_9'"):
        rehearse(Run(load_recipe(recipe_file, [teacher, losses % "cross_9"]), finished, Reporter(quiet=True)))
