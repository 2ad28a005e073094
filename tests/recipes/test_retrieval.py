"""Recipes of retrieval: what they may say, and a whole small run."""

import json

import numpy as np
import pytest

from tfdistill.data import ListedNegatives
from tfdistill.errors import UserError
from tfdistill.evaluation import dot_scores, evaluate_ranking, rank_with_file
from tfdistill.models import bpr_mf, item_vectors, truncated_svd, user_vectors
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.runner import run
from tfdistill.recipes.stages.common import open_model
from tfdistill.recipes.stages.retrieval_data import read
from tfdistill.recipes.stages.retrieval_models import Quality
from tfdistill.recipes.tasks import TASKS, metric_of

# XLA takes longer to compile than these take to train; the recipe of sequences has it.
RECIPE = """
task: retrieval
student_seeds: [1, 2]
data: {source: synthetic, users: 200, items: 120, interactions: 6000}
teacher:
  model: {kind: bpr_mf, embedding_width: 16}
  train: {epochs: 4, l2: 0.001, learning_rate: 0.01, evaluate_every: 2, xla: false}
student:
  model: {kind: bpr_mf, embedding_width: 4}
  train: {epochs: 3, l2: 0.002, learning_rate: 0.01, evaluate_every: 1, batch_size: 512, xla: false}
distill:
  losses: [{kind: full_topology_distillation}]
  train: {epochs: 2}
export: {k: 20}
evaluate: {metric: ndcg@10, k: [5], latency_runs: 5}
"""

SEQUENCES = """
task: retrieval
student_seeds: [1]
data: {source: sequences, path: FILE, split: {method: leave_one_out}}
teacher:
  model: {kind: sas_rec, embedding_width: 8, max_length: 6, blocks: 1}
  train: &train {epochs: 2, batch_size: 20, learning_rate: 0.01, base_loss: full_softmax, evaluate_every: 1}
student:
  model: {kind: sas_rec, embedding_width: 4, max_length: 6, blocks: 1}
  train: *train
distill:
  losses: [{kind: next_item_distillation}]
  base_loss_weight: 0.2
export: {k: 5}
evaluate: {metric: ndcg@5, k: [5], latency_runs: 5}
"""


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("retrieval") / "small.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def finished(recipe_file, tmp_path_factory):
    return run(load_recipe(recipe_file), output=tmp_path_factory.mktemp("runs"), quiet=True)


@pytest.fixture(scope="module")
def metrics(finished):
    return json.loads((finished / "metrics.json").read_text())


def refusal(file, *overrides):
    with pytest.raises(UserError) as caught:
        load_recipe(file, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_distillation_trains_as_the_student_alone_in_every_key_that_it_does_not_say(recipe_file):
    recipe = load_recipe(recipe_file)
    train = recipe.distill.train
    assert (train.epochs, train.l2, train.batch_size) == (2, 0.002, 512)
    assert metric_of(recipe) == "ndcg@10" and recipe.evaluate.lengths == (5, 10)
    assert load_recipe(recipe_file, ["seed=5", "student_seeds=null"]).student_seeds == (5, 6, 7)


@pytest.mark.parametrize(
    "override, told",
    [
        ("task=clicks", "--set task: expected 'retrieval', or no such key"),
        ("student.model.kind=mlp", "student.model.kind: expected one of 'bpr_mf', 'two_tower', 'light_gcn', 'sas_rec'"),
        ("distill.losses[0].kind=logits_distillation", "distill.losses[0].kind: expected one of 'full_topology"),
        (
            "evaluate={metric: recall@5, sampled_negatives: 9}",
            "evaluate.metric: expected hit_rate or ndcg, and @k, with",
        ),
        ("evaluate.metric=auc", "evaluate.metric: expected recall or ndcg or hit_rate"),
        (
            "teacher.load=t.keras",
            "teacher: expected either model (trained here) or load (a trained one), received both",
        ),
        ("data.split.train=0.9", "data.split: expected shares that sum to 1"),
        ("data={source: sequences, path: nowhere.txt}", "no such file"),
        ("soft_targets={}", "soft_targets: unknown key"),
        ("student.train.negatives_from=teacher", "student.train.negatives_from: teacher is for distill.train only"),
        ("teacher.train.negatives_from=teacher", "teacher.train.negatives_from: teacher is for distill.train only"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused_in_one_line(recipe_file, override, told):
    assert told in refusal(recipe_file, override)


def test_hard_negatives_are_drawn_from_what_the_teacher_ranks_first(finished, recipe_file, monkeypatch):
    seen, draw = [], ListedNegatives.draw

    def watched(self, users, count, **how):
        seen.append((users, draw(self, users, count, **how)))
        return seen[-1][1]

    monkeypatch.setattr(ListedNegatives, "draw", watched)
    hard = "distill.train={negatives_from: teacher, negatives: 3}"
    recipe = load_recipe(recipe_file, [hard, "rankings.user=4", "student_seeds=[1]"])
    folder = run(recipe, output=finished.parent.parent, quiet=True)
    data = TASKS["retrieval"].open(folder / "data" / "dataset.npz")
    teacher = open_model(folder / "teacher" / "model.keras")
    scores = user_vectors(teacher, data) @ item_vectors(teacher, data).T
    scores[tuple(data.pairs["train"].T)] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :4]
    assert seen
    for users, items in seen:
        assert items.shape == (len(users), 3)
        assert (items[:, :, None] == best[users][:, None, :]).any(axis=2).all()


def test_data_without_a_place_is_asked_for_when_it_is_needed(recipe_file):
    recipe = load_recipe(recipe_file, ["data={source: split}"])
    with pytest.raises(UserError, match=r"data\.path: this recipe does not say where the data is"):
        read(recipe.data, recipe.seed)


def test_a_table_of_choices_is_read_with_its_features(recipe_file, tmp_path):
    (tmp_path / "bought.csv").write_text("who,what,price\nanna,pen,2\nanna,ink,5\nanna,cup,7\nbert,pen,2\nbert,ink,5\n")
    text = "{source: table, path: %s, columns: {user: who, item: what}, features: {price: {of: item, kind: numeric}}}"
    data = read(load_recipe(recipe_file, ["data=" + text % (tmp_path / "bought.csv")]).data, seed=1)
    assert data.users == 2 and data.item_ids.tolist() == ["cup", "ink", "pen"]
    assert [field.name for field in data.item_fields] == ["price"]


def test_models_are_measured_as_full_ranking_measures_them(finished, metrics):
    data = TASKS["retrieval"].open(finished / "data" / "dataset.npz")
    model = open_model(finished / "distilled_seed2" / "model.keras")
    expected = evaluate_ranking(dot_scores(user_vectors(model, data), item_vectors(model, data)), data, k=(5, 10))
    found = next(one for one in metrics["models"] if one["role"] == "distilled")["seeds"][1]["test"]
    assert found["ndcg@10"] == pytest.approx(expected["ndcg@10"], abs=1e-9)
    assert found["recall@5"] == pytest.approx(expected["recall@5"], abs=1e-9)


@pytest.fixture(scope="module")
def of_sequences(tmp_path_factory):
    """(recipe, folder) of a finished run of sequence models; users walk around a ring of items."""
    folder = tmp_path_factory.mktemp("sequences")
    random = np.random.default_rng(0)
    starts, lengths = random.integers(30, size=60), random.integers(5, 12, size=60)
    walks = [(start + np.arange(length)) % 30 for start, length in zip(starts, lengths, strict=True)]
    lines = [" ".join(map(str, [user, *walk])) for user, walk in enumerate(walks)]
    (folder / "walks.txt").write_text("\n".join(lines) + "\n")
    (folder / "sequences.yaml").write_text(SEQUENCES.replace("FILE", str(folder / "walks.txt")))
    return folder / "sequences.yaml", run(load_recipe(folder / "sequences.yaml"), output=folder / "runs", quiet=True)


def test_sequence_models_learn_at_all_places_and_know_the_validation_part_in_the_test(of_sequences):
    folder = of_sequences[1]
    metrics = json.loads((folder / "metrics.json").read_text())
    data = TASKS["retrieval"].open(folder / "data" / "dataset.npz")
    # All but the first item of each, and of longer histories the last that a window holds.
    predicted = np.minimum(data.lists("train").lengths - 1, 6).sum()
    for role in metrics["models"]:
        (found,) = role["seeds"]
        name = "teacher" if role["role"] == "teacher" else f"{role['role']}_seed1"
        model = open_model(folder / name / "model.keras")
        epoch = found["epochs"][0]
        assert epoch["examples_per_second"] * epoch["seconds"] == pytest.approx(predicted)
        for part, known in (("validation", ("train",)), ("test", ("train", "validation"))):
            score = dot_scores(user_vectors(model, data, parts=known), item_vectors(model, data))
            expected = evaluate_ranking(score, data, part, known, k=(5,))
            assert found[part]["ndcg@5"] == pytest.approx(expected["ndcg@5"], abs=1e-9)


def test_files_of_sequence_models_answer_with_the_list_of_their_model(of_sequences):
    metrics = json.loads((of_sequences[1] / "metrics.json").read_text())
    assert {one["format"] for one in metrics["artifacts"]} == {"saved_model", "tflite_float32", "tflite_dynamic_int8"}
    for record in metrics["artifacts"]:
        assert record["parity"]["max"] < (0.2 if "int8" in record["format"] else 1e-4)
        role = next(one for one in metrics["models"] if one["role"] == record["role"])
        tolerance = 0.1 if "int8" in record["format"] else 1e-3
        assert record["test"]["ndcg@5"] == pytest.approx(role["seeds"][0]["test"]["ndcg@5"], abs=tolerance)


@pytest.mark.parametrize(
    "override, told",
    [
        (
            "data={source: edges, path: FOLDER/pairs.txt}",
            "teacher.model: reads what a user chose in the order of time, and",
        ),
        ("teacher.model={kind: bpr_mf, embedding_width: 8}", "need a teacher that reads the same history"),
        ("teacher={load: FOLDER/mf.keras}", "need a teacher that reads the same history"),
        ("teacher.model.max_length=7", "must read histories of one length, `max_length`. Received: 7 and 6"),
    ],
)
def test_sequence_models_that_cannot_be_trained_are_refused_before_anything_is(of_sequences, tmp_path, override, told):
    bpr_mf(60, 30, 4).save(tmp_path / "mf.keras")
    (tmp_path / "pairs.txt").write_text("".join(f"{user} {user + step}\n" for user in range(9) for step in range(4)))
    with pytest.raises(UserError) as caught:
        run(load_recipe(of_sequences[0], [override.replace("FOLDER", str(tmp_path))]), output=tmp_path, quiet=True)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/teacher"))


def test_the_best_epoch_on_validation_is_kept(metrics):
    teacher = metrics["models"][0]["seeds"][0]
    seen = [epoch["validation_ndcg@10"] for epoch in teacher["epochs"] if "validation_ndcg@10" in epoch]
    assert len(seen) == 2 and teacher["validation"]["ndcg@10"] == pytest.approx(max(seen), abs=1e-9)


def test_files_answer_with_the_list_of_their_model(finished, metrics):
    data = TASKS["retrieval"].open(finished / "data" / "dataset.npz")
    by_format = {one["format"]: one for one in metrics["artifacts"] if one["role"] == "distilled"}
    assert set(by_format) == {"saved_model", "tflite_float32", "tflite_dynamic_int8"}
    record = by_format["tflite_float32"]
    model = open_model(finished / f"distilled_seed{record['seed']}" / "model.keras")
    user, item = user_vectors(model, data), item_vectors(model, data)
    scores = user @ item.T
    for part in ("train", "validation"):
        scores[tuple(data.pairs[part].T)] = -np.inf
    listed, _ = rank_with_file(finished / record["path"], data, 5)
    np.testing.assert_allclose(np.take_along_axis(scores, listed, 1), -np.sort(-scores, axis=1)[:, :5], atol=1e-6)
    assert record["parity"]["max"] < 1e-6 and record["latency_ms"]["p50"] > 0
    assert record["bytes"] == (finished / record["path"]).stat().st_size


def test_the_report_is_about_the_metric_of_the_recipe(finished, metrics):
    assert metrics["metric"] == "ndcg@10"
    page = (finished / "report.html").read_text()
    assert "ndcg@10, distilled student" in page and "AUC" not in page


def test_a_student_may_begin_where_the_teacher_is(recipe_file, finished):
    still = ["student_seeds=[1]", "distill.start=teacher", "distill.train.learning_rate=1e-12", "distill.train.l2=0"]
    folder = run(load_recipe(recipe_file, still), output=finished.parents[1], quiet=True)
    dataset = TASKS["retrieval"].open(folder / "data" / "dataset.npz")
    teacher, student = (open_model(folder / name / "model.keras") for name in ("teacher", "distilled_seed1"))
    expected = truncated_svd(user_vectors(teacher, dataset), item_vectors(teacher, dataset), 4)
    np.testing.assert_allclose(user_vectors(student, dataset), expected[0], atol=1e-6)
    np.testing.assert_allclose(item_vectors(student, dataset), expected[1], atol=1e-6)


def test_a_start_that_the_student_cannot_have_is_refused_before_anything_is_trained(recipe_file, tmp_path):
    wide = ["distill.start=teacher", "student.model.embedding_width=32"]
    with pytest.raises(UserError, match=r"^teacher, student or distill: `width` must be from 1 to 16, the rank"):
        run(load_recipe(recipe_file, wide), output=tmp_path, quiet=True)


def test_a_second_run_does_nothing_again(recipe_file, finished, capsys):
    run(load_recipe(recipe_file), output=finished.parents[1], quiet=False)
    assert capsys.readouterr().out.count("unchanged, not run again") == 8


def test_the_sampled_protocol_has_names_of_its_own_and_stands_beside_full_ranking(recipe_file, finished):
    recipe = load_recipe(recipe_file, ["evaluate={metric: hit_rate@5, sampled_negatives: 20, k: [5]}"])
    assert metric_of(recipe) == "hit_rate@5 (1 + 20 sampled)"
    data = TASKS["retrieval"].open(finished / "data" / "dataset.npz")
    scores = np.random.default_rng(0).normal(size=(data.users, data.items)).astype(np.float32)
    quality = Quality(data, recipe.evaluate)
    validation, test = (quality.of_scores(lambda users: scores[users], part) for part in ("validation", "test"))
    assert metric_of(recipe) in validation and "recall@5" not in validation
    assert abs(test[metric_of(recipe)] - 5 / 21) < 0.1 and test["recall@5"] < 0.1  # chance: 5 of 21, 5 of all


def test_cross_validation_runs_every_fold_and_tests_every_pair_once(recipe_file, tmp_path):
    overrides = [
        "data.split={method: k_fold, folds: 3}",
        "student_seeds=[1]",
        "export.formats=[tflite_float32]",
        "teacher.train.epochs=1",
    ]
    folder = run(load_recipe(recipe_file, overrides), output=tmp_path, quiet=True)
    outcome = json.loads((folder / "cross_validation.json").read_text())
    tested, results = [], []
    for name in outcome["runs"]:
        data = TASKS["retrieval"].open(folder.parent / name / "data" / "dataset.npz")
        tested += [(data.user_ids[user], data.item_ids[item]) for user, item in data.pairs["test"]]
        results.append(json.loads((folder.parent / name / "metrics.json").read_text()))
    every = [(data.user_ids[user], data.item_ids[item]) for pairs in data.pairs.values() for user, item in pairs]
    assert sorted(tested) == sorted(every)
    distilled = next(one for one in outcome["models"] if one["role"] == "distilled")
    expected = [one["models"][2]["seeds"][0]["test"]["ndcg@10"] for one in results]
    assert distilled["by_fold"] == pytest.approx(expected)
    gains = np.array(expected) - [one["models"][1]["seeds"][0]["test"]["ndcg@10"] for one in results]
    gain = outcome["distilled_minus_alone"]
    assert gain["mean"] == pytest.approx(gains.mean())
    assert gain["standard_error"] == pytest.approx(gains.std(ddof=1) / np.sqrt(3))


@pytest.mark.parametrize(
    "split, told",
    [
        ("{method: k_fold, folds: 2}", "data.split.folds: expected a whole number of at least 3"),
        ("{method: k_fold, folds: 3, fold: 3}", "data.split.fold: expected a number below folds (3), received 3"),
        ("{method: random, fold: 1}", "data.split.fold: only with method 'k_fold', this method is 'random'"),
    ],
)
def test_folds_that_cannot_be_are_refused(recipe_file, split, told):
    assert told in refusal(recipe_file, f"data.split={split}")


def test_too_few_candidates_are_told_before_a_student_is_trained(recipe_file, finished):
    losses = "distill.losses=[{kind: relaxed_ranking_distillation, pool: 100, uninteresting: 100}]"
    with pytest.raises(UserError, match=r"distill\.losses\[0\]: user .* fewer than the 100 to draw"):
        run(load_recipe(recipe_file, [losses]), output=finished.parents[1], quiet=True)
