"""The stages that label: what they keep, how they go on after a kill, and what a student refuses to learn from."""

import shutil

import keras
import numpy as np
import pytest

from tfdistill.data import Dataset, train_batches
from tfdistill.errors import UserError
from tfdistill.recipes.loading import load_recipe
from tfdistill.recipes.progress import Reporter
from tfdistill.recipes.runner import Run
from tfdistill.recipes.stages import soft_targets as stage
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.transfer import TransferSet
from tfdistill.soft_targets import SoftTargets, write_soft_targets

HINT = "{kind: hint_distillation, teacher_layer_name: hidden_1, student_layer_name: hidden_1}"


def a_run(recipe_file, folder, *overrides):
    run = Run(load_recipe(recipe_file, overrides), folder, Reporter(quiet=True))
    run.keys["soft_targets"] = "the key of the stage"
    return run


def label(run, folder, tell=lambda *args, **kwargs: None):
    (link,) = chain(run.recipe)
    folder.mkdir(exist_ok=True)
    return stage.label_work(link)(run, folder, tell)


def teacher_of(folder):
    return keras.saving.load_model(folder / "teacher" / "model.keras")


def test_every_training_row_and_every_pair_of_the_pool_has_the_teachers_logit(finished):
    dataset, pool = Dataset.load(finished / "data" / "dataset.npz"), np.load(finished / "soft_targets" / "pool.npz")
    cache = SoftTargets.open(finished / "soft_targets" / "cache")
    rated = dataset.rows("train")
    assert len(cache) == len(rated) + len(pool["example_id"]) == 2 * len(rated)
    assert pool["example_id"].min() > dataset.example_id.max()
    pairs = {name: pool[name] for name in ("user_row", "item_row", "context_row")}
    for inputs, example_id in (
        (dataset.inputs(rated), dataset.example_id[rated]),
        (dataset.pair_inputs(**pairs), pool["example_id"]),
    ):
        expected = teacher_of(finished).predict(inputs, batch_size=1024, verbose=0)
        np.testing.assert_allclose(cache.lookup(example_id)["logits"], expected, atol=1e-5)


def test_hidden_layers_that_the_losses_read_are_kept_in_the_dtype_asked_for(recipe_file, copy_of_finished, tmp_path):
    run = a_run(
        recipe_file, copy_of_finished, f"distill.losses=[{HINT}]", "soft_targets={unrated_ratio: 0.5, dtype: float16}"
    )
    label(run, tmp_path / "stage")
    cache = SoftTargets.open(tmp_path / "stage" / "cache")
    assert (cache.dtype, cache.features) == ("float16", {"hidden_1": (16,)})
    dataset, teacher = Dataset.load(copy_of_finished / "data" / "dataset.npz"), teacher_of(copy_of_finished)
    rows = dataset.rows("train")[:50]
    hidden = keras.Model(teacher.inputs, teacher.get_layer("hidden_1").output).predict(dataset.inputs(rows), verbose=0)
    np.testing.assert_allclose(cache.lookup(dataset.example_id[rows])["hidden_1"], hidden, atol=1e-3, rtol=2e-3)


def test_pairs_drawn_by_the_teacher_are_likelier_for_it_than_uniform_ones(recipe_file, copy_of_finished, tmp_path):
    teacher = teacher_of(copy_of_finished)
    logits = teacher.get_layer("logits")
    logits.set_weights([weight * 20 for weight in logits.get_weights()])  # one with opinions
    teacher.save(copy_of_finished / "teacher" / "model.keras")

    def mean_logit(settings):
        folder = tmp_path / f"stage{len(list(tmp_path.iterdir()))}"
        run = a_run(recipe_file, copy_of_finished, f"soft_targets={{unrated_ratio: 0.5, {settings}}}")
        assert label(run, folder) == {"rated": 4800, "unrated": 2400}
        return SoftTargets.open(folder / "cache").lookup(np.load(folder / "pool.npz")["example_id"])["logits"].mean()

    assert mean_logit("draw: teacher, candidates: 20") > mean_logit("draw: uniform") + 0.1


class Killed(BaseException):
    """Stands for a signal that ends the process."""


def killed_after(rows):
    def tell(done, total, **kwargs):
        if done >= rows:
            raise Killed

    return tell


def test_labelling_that_was_killed_goes_on_where_it_stopped(recipe_file, copy_of_finished, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "ROWS_A_SHARD", 2000)
    run = a_run(recipe_file, copy_of_finished, "soft_targets={unrated_ratio: 1, batch_size: 1000}")
    with pytest.raises(Killed):
        label(run, tmp_path / "first", killed_after(7000))
    assert not list((tmp_path / "first").iterdir())
    told = []
    label(run, tmp_path / "second", lambda done, total: told.append(done))
    assert told == [7000, 8000, 9000, 9600]  # what was whole shards, 6000 rows, is not asked again
    assert not list(copy_of_finished.glob(".unfinished-*"))
    pools = [folder / "pool.npz" for folder in (tmp_path / "second", copy_of_finished / "soft_targets")]
    assert pools[0].read_bytes() == pools[1].read_bytes()
    ours, straight = (SoftTargets.open(f / "cache") for f in (tmp_path / "second", copy_of_finished / "soft_targets"))
    ids = straight.example_id
    np.testing.assert_allclose(ours.lookup(ids)["logits"], straight.lookup(ids)["logits"], atol=1e-6)


def test_what_another_teacher_began_is_begun_anew(recipe_file, copy_of_finished, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "ROWS_A_SHARD", 2000)
    run = a_run(recipe_file, copy_of_finished, "soft_targets={unrated_ratio: 1, batch_size: 1000}")
    with pytest.raises(Killed):
        label(run, tmp_path / "first", killed_after(7000))
    teacher = teacher_of(copy_of_finished)
    teacher.set_weights([weight * 1.5 for weight in teacher.get_weights()])
    teacher.save(copy_of_finished / "teacher" / "model.keras")
    told = []
    label(run, tmp_path / "second", lambda done, total: told.append(done))
    assert told[0] == 1000 and not list(copy_of_finished.glob(".unfinished-*"))


def test_a_run_that_was_killed_while_labelling_goes_on_where_it_stopped(
    recipe_file, finished, quietly, tmp_path, monkeypatch
):
    shutil.copytree(finished.parent.parent, tmp_path / "saved_models")
    recipe = load_recipe(recipe_file, ["soft_targets.batch_size=1000", "student_seeds=[1]"])
    with monkeypatch.context() as patch:
        patch.setattr(stage, "ROWS_A_SHARD", 2000)

        def killed_while_labelling(folder, *args, on_progress, **kwargs):
            return write_soft_targets(folder, *args, on_progress=killed_after(7000), **kwargs)

        def killed(*args, **kwargs):
            raise Killed

        patch.setattr("tfdistill.soft_targets.write_soft_targets", killed_while_labelling)
        with pytest.raises(Killed):
            quietly(recipe, tmp_path / "saved_models")
        folder = tmp_path / "saved_models" / "tiny" / recipe.run_name
        (unfinished,) = folder.glob(".unfinished-soft_targets-*")
        assert len(list(unfinished.glob("cache/shard-*"))) == 3
        assert not (folder / "soft_targets").exists() and not list(folder.glob(".partial-*"))
        asked = []

        def watched(folder, *args, on_progress, **kwargs):
            return write_soft_targets(folder, *args, on_progress=lambda done, total: asked.append(done), **kwargs)

        patch.setattr("tfdistill.soft_targets.write_soft_targets", watched)
        patch.setattr("tfdistill.training.train", killed)  # the labelling is what this is about
        with pytest.raises(Killed):
            quietly(recipe, tmp_path / "saved_models")
    assert asked[0] == 7000
    assert (folder / "soft_targets" / "cache").exists() and not list(folder.glob(".unfinished-*"))


def test_what_is_unfinished_and_no_longer_needed_goes_when_the_run_is_complete(recipe_file, copy_of_finished, quietly):
    (copy_of_finished / ".unfinished-soft_targets-0123456789").mkdir()
    quietly(load_recipe(recipe_file), copy_of_finished.parent.parent)
    assert not list(copy_of_finished.glob(".unfinished-*"))


@pytest.mark.parametrize("fault", ["another teacher", "a changed file"])
def test_a_student_refuses_soft_targets_that_are_not_its_teachers(recipe_file, copy_of_finished, fault):
    run = a_run(recipe_file, copy_of_finished)
    (link,) = chain(run.recipe)
    stage.open_soft_targets(run, link)
    if fault == "another teacher":
        teacher = teacher_of(copy_of_finished)
        teacher.set_weights([weight + 1 for weight in teacher.get_weights()])
        teacher.save(copy_of_finished / "teacher" / "model.keras")
    else:
        file = next((copy_of_finished / "soft_targets" / "cache").glob("shard-*/logits.npy"))
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    with pytest.raises(UserError, match="another teacher" if fault == "another teacher" else "logits.npy"):
        stage.open_soft_targets(run, link)


@pytest.fixture(scope="module")
def transfer(finished, tmp_path_factory):
    """(dataset, pool, cache) of a teacher whose logit and layer "ids" are made of the row numbers of user and item."""
    dataset, pool = (
        Dataset.load(finished / "data" / "dataset.npz"),
        dict(np.load(finished / "soft_targets" / "pool.npz")),
    )
    rated = dataset.rows("train")
    user = np.concatenate([dataset.user_row[rated], pool["user_row"]]).astype(np.float32)
    item = np.concatenate([dataset.item_row[rated], pool["item_row"]]).astype(np.float32)
    inputs = {name: keras.Input((), name=name) for name in ("user", "item")}
    columns = [keras.layers.Reshape((1,))(inputs[name]) for name in ("user", "item")]
    both = keras.layers.Concatenate(name="ids")(columns)
    first = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(1.0))
    teacher = keras.Model(inputs, first(both))
    cache = write_soft_targets(
        tmp_path_factory.mktemp("cache") / "cache",
        teacher,
        {"user": user, "item": item},
        np.concatenate([dataset.example_id[rated], pool["example_id"]]),
        features=["ids"],
    )
    return dataset, pool, cache


def test_an_epoch_holds_every_rated_pair_and_the_next_pairs_of_the_pool_each_with_its_own_answer(transfer):
    dataset, pool, cache = transfer
    several = TransferSet(dataset, cache, pool, unrated_ratio=0.75)
    rated = len(dataset.rows("train"))
    assert several.rows_per_epoch == rated + 3600
    seen = []
    for epoch in range(2):
        x, y = several.epoch(epoch)
        np.testing.assert_allclose(x["teacher_logits"][:, 0], x["user_row"] + x["item_row"], rtol=1e-6)
        assert set(y[:rated, 0]) == {0.0, 1.0} and set(y[rated:, 0]) == {-1.0}
        seen.append(x["item_row"][rated:])
    expected = np.concatenate([pool["item_row"][3600:], pool["item_row"][: 7200 - 4800]])
    np.testing.assert_array_equal(seen[1], expected)  # the pool of 4800 begins again
    assert len(TransferSet(dataset, cache, pool, 0).epoch(3)[1]) == rated


def test_hidden_layers_are_read_for_each_batch_by_example_id(transfer):
    dataset, pool, cache = transfer
    several = TransferSet(dataset, cache, pool, unrated_ratio=0.5)
    batches = train_batches(several.epoch(1), 512, seed=1, epoch=1, transform=several.transform())
    x, _ = next(iter(batches))
    answers = several.teacher.feature_outputs(x, ["ids"])
    np.testing.assert_array_equal(answers["ids"][:, 0].numpy() + answers["ids"][:, 1].numpy(), answers[None][:, 0])
    # Rows past the vocabulary are unknown to a model; training pairs have none.
    np.testing.assert_array_equal(answers["ids"].numpy(), np.stack([x["user"], x["item"]], axis=1))
    assert answers["ids"].shape == (512, 2)
