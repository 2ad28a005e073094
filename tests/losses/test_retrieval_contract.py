"""What every loss for retrieval models keeps to, those of candidates' scores and those of vectors."""

import inspect
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill.losses as losses
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.losses.experts import FEW
from tfdistill.losses.ranking_loss import RankingContext

USERS, ITEMS, POOL = 7, 30, 12
ROWS = 5

# {class: constructions}; new ones need a line.
RANKING = {
    "CollaborativeDistillation": [
        lambda: losses.CollaborativeDistillation(candidates=4, pool=POOL),
        lambda: losses.CollaborativeDistillation(candidates=4, ranked_by="student", pool=POOL),
    ],
    "DualCorrectionDistillation": [lambda: losses.DualCorrectionDistillation(3, 4, pool=POOL)],
    "RankingDistillation": [
        lambda: losses.RankingDistillation(best=3, samples=6),
        lambda: losses.RankingDistillation(best=3, samples=6, static_epochs=0),
    ],
    "RelaxedRankingDistillation": [
        lambda: losses.RelaxedRankingDistillation(3, 4, pool=POOL),
        lambda: losses.RelaxedRankingDistillation(3, 4, rank_temperature=None, pool=POOL),
        lambda: losses.RelaxedRankingDistillation(2, 1, pool=3, side="item"),
        lambda: losses.RelaxedRankingDistillation(3, 0, pool=POOL, rows="all", reduction="mean"),
    ],
    "UnbiasedDistillation": [lambda: losses.UnbiasedDistillation(pairs=5, groups=2, pool=POOL)],
}
REPRESENTATION = {
    "DistillationExperts": [
        lambda: losses.DistillationExperts(6, seed=1),
        lambda: losses.DistillationExperts(6, temperature=0.05, seed=1),
        lambda: losses.DistillationExperts(6, temperature=1e-6, reduction="mean", seed=1),
        lambda: losses.DistillationExperts(1, seed=1),
        lambda: losses.DistillationExperts(3, seed=1),
    ],
    "EmbeddingDistillation": [
        lambda: losses.EmbeddingDistillation(),
        lambda: losses.EmbeddingDistillation("cosine", shared=False, reduction="mean"),
    ],
    "FullTopologyDistillation": [
        lambda: losses.FullTopologyDistillation(),
        lambda: losses.FullTopologyDistillation("mean"),
    ],
    "HierarchicalTopologyDistillation": [
        lambda: losses.HierarchicalTopologyDistillation(6, seed=1),
        lambda: losses.HierarchicalTopologyDistillation(6, gamma=1.0, pairs="all", temperature=1e-6, seed=1),
        lambda: losses.HierarchicalTopologyDistillation(6, gamma=0.0, temperature=0.05, seed=1),
        lambda: losses.HierarchicalTopologyDistillation(3, seed=1),
    ],
    "NextItemDistillation": [
        lambda: losses.NextItemDistillation(),
        lambda: losses.NextItemDistillation(2.0, contrastive_weight=0.0, items="batch", reduction="mean"),
    ],
}
# What XLA compiles here, which takes seconds for each: the first of each class that has no branches, which take half a
# minute. test_distillation_experts.py compiles what is in them.
COMPILED = [
    next(make for make in makes if getattr(make(), "experts", 1) <= FEW)
    for makes in (RANKING | REPRESENTATION).values()
]
BASES = ("RankingLoss", "RepresentationLoss")


def of_kind(base):
    members = {name: getattr(losses, name) for name in losses.__all__}
    return sorted(
        name for name, one in members.items() if inspect.isclass(one) and issubclass(one, base) and name not in BASES
    )


def constructions(samples):
    return [pytest.param(make, id=f"{name}-{i}") for name, makes in samples.items() for i, make in enumerate(makes)]


every_ranking = pytest.mark.parametrize("make", constructions(RANKING))
every_representation = pytest.mark.parametrize("make", constructions(REPRESENTATION))
every = pytest.mark.parametrize("make", constructions({**RANKING, **REPRESENTATION}))


def test_every_loss_has_a_line_here():
    assert of_kind(losses.RankingLoss) == sorted(RANKING)
    assert of_kind(losses.RepresentationLoss) == sorted(REPRESENTATION)


@pytest.fixture(scope="module")
def dataset():
    random = np.random.default_rng(0)
    pairs = np.array([[user, item] for user in range(USERS) for item in random.permutation(ITEMS)[:4]])
    return ImplicitDataset(USERS, ITEMS, {"train": pairs, "validation": [], "test": []})


@pytest.fixture(scope="module")
def context(dataset):
    random = np.random.default_rng(1)
    teacher, student = random.normal(size=(2, USERS, ITEMS)).astype("float32")

    def ranking(scores, pairs, k):
        scores = scores.copy()
        scores[pairs[:, 0], pairs[:, 1]] = -np.inf
        items = np.argsort(-scores, axis=1)[:, :k].astype("int32")
        return SimpleNamespace(items=items, scores=np.take_along_axis(scores, items, axis=1))

    pairs = dataset.pairs["train"]
    return RankingContext(
        dataset,
        ranking(teacher, pairs, POOL),
        ranking(teacher.T, pairs[:, ::-1], 3),
        lambda users: student[users],
        lambda items: student.T[items],
        epoch=3,
        epochs=10,
    )


def vectors(seed=0):
    random = np.random.default_rng(seed)

    def of(width):
        return {
            "user": random.normal(size=(ROWS, width)).astype("float32"),
            "item": random.normal(size=(2 * ROWS, width)).astype("float32"),
        }

    return of(8), of(3)


def built(loss):
    if not loss.built:
        keras.utils.set_random_seed(0)
        loss.build(*({name: (None, array.shape[1]) for name, array in one.items()} for one in vectors()))
    return loss


def quiet(loss):
    """The same loss with noise that comes again: its state is set back."""
    if hasattr(loss, "seed_generator"):
        loss.seed_generator.state.assign(np.zeros(2, "uint32"))
    return loss


def inputs_of(loss, context):
    """(teacher's outputs, student's outputs) of a batch, as arrays."""
    if isinstance(loss, losses.RepresentationLoss):
        return vectors()
    drawn = {name: array[:ROWS] for name, array in loss.draw(context, np.random.default_rng(2)).items()}
    scores = np.random.default_rng(3).normal(size=drawn.pop("item").shape).astype("float32")
    return drawn, scores


def value_and_gradients(loss, teacher, student, weights=None, dtype="float32"):
    teacher, student = (
        keras.tree.map_structure(lambda one: tf.convert_to_tensor(one, "float32"), x) for x in (teacher, student)
    )
    with tf.GradientTape() as tape:
        tape.watch((teacher, student))
        outputs = (keras.tree.map_structure(lambda one: tf.cast(one, dtype), x) for x in (teacher, student))
        value = loss.compute_loss(*outputs, sample_weight=weights)
    return value, *tape.gradient(value, (student, teacher, loss.trainable_variables))


def close(one, other, rtol=1e-4, atol=1e-4):
    for this, that in zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True):
        np.testing.assert_allclose(this, that, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", sorted({**RANKING, **REPRESENTATION}))
def test_the_docstring_has_a_source_an_example_and_says_when(name):
    documentation = inspect.getdoc(getattr(losses, name))
    assert all(part in documentation for part in (">>> ", "Reference: ", "When to use it", "Args:"))


@every
def test_the_configuration_round_trips_and_makes_the_same_loss(make, context):
    loss = built(make())
    config = keras.saving.serialize_keras_object(loss)
    json.dumps(config)
    copy = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(copy) == config
    built(copy).set_weights(loss.get_weights())
    close(quiet(copy).compute_loss(*inputs_of(loss, context)), quiet(loss).compute_loss(*inputs_of(loss, context)))


@every
def test_the_loss_is_a_float32_scalar_and_the_teacher_gets_no_gradient(make, context):
    loss = built(make())
    value, to_student, to_teacher, to_weights = value_and_gradients(loss, *inputs_of(loss, context))
    assert value.dtype == tf.float32
    assert value.shape == ()
    assert np.isfinite(value)
    if not isinstance(loss, losses.RankingDistillation):  # whose weights may all be 0 by chance
        assert any(np.abs(gradient).max() > 0 for gradient in keras.tree.flatten(to_student) if gradient is not None)
    assert all(gradient is None for gradient in keras.tree.flatten(to_teacher))


@every
def test_a_row_of_weight_zero_has_no_influence(make, context):
    loss = built(make())
    teacher, student = inputs_of(loss, context)
    if isinstance(loss, losses.RankingLoss):
        weights, garbled = np.array([1, 0, 1, 1, 0], "float32"), student.copy()
        garbled[weights == 0] = 1e4
    else:
        weights = {"user": np.array([1, 0, 1, 1, 0], "float32"), "item": np.array([1, 1, 0, 0, 1] * 2, "float32")}
        garbled = {name: np.where(weights[name][:, None] > 0, array, 1e4) for name, array in student.items()}
    weights = keras.tree.map_structure(tf.constant, weights)
    quiet(loss)
    value, to_student, _, to_weights = value_and_gradients(loss, teacher, student, weights)
    quiet(loss)
    with_garbage, to_garbage, _, to_weights_with_garbage = value_and_gradients(loss, teacher, garbled, weights)
    close(with_garbage, value)
    close([one for one in keras.tree.flatten(to_garbage)], [one for one in keras.tree.flatten(to_student)])
    flat = keras.tree.flatten(to_student), keras.tree.flatten(weights)
    for gradient, weight in zip(*flat, strict=True):
        assert np.abs(gradient.numpy()[weight.numpy() == 0]).max() == 0


@every
def test_eager_graph_and_xla_agree_and_the_batch_size_may_be_unknown(make, context, monkeypatch):
    # XLA draws other numbers from the same seed.
    monkeypatch.setattr(keras.random, "uniform", lambda shape, seed: tf.fill(shape, 0.5))
    loss = built(make())
    teacher, student = inputs_of(loss, context)
    weights = keras.tree.map_structure(
        lambda one: np.linspace(1, 0, len(one)).round().astype("float32"),
        student if isinstance(student, dict) else student[:, 0],
    )

    def compute(*batch):
        value, to_student, _, to_weights = value_and_gradients(loss, *batch)
        return value, to_student, [one for one in to_weights if one is not None]

    batch = keras.tree.map_structure(tf.convert_to_tensor, (teacher, student, weights))
    signature = keras.tree.map_structure(lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), batch)
    expected = compute(*batch)
    close(tf.function(compute, input_signature=signature, autograph=False)(*batch), expected)
    if make in COMPILED:
        close(tf.function(compute, jit_compile=True, autograph=False)(*batch), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every
def test_half_precision_outputs_are_compared_in_float32(make, context, dtype):
    loss = built(make())
    teacher, student = inputs_of(loss, context)
    for factor in (1.0, 5000.0):  # where the square of a float16, and sums of them, are infinite
        large = keras.tree.map_structure(lambda one, factor=factor: factor * one, (teacher, student))
        given = (teacher, large[1]) if isinstance(loss, losses.RankingLoss) else large  # ranks are no scores
        quiet(loss)
        value, to_student, _, _ = value_and_gradients(loss, *given, dtype=dtype)
        rounded = keras.tree.map_structure(lambda one: tf.cast(tf.cast(one, dtype), "float32"), given)
        quiet(loss)
        assert value.dtype == tf.float32 and np.isfinite(value)
        close(value, loss.compute_loss(*rounded))


@every
def test_extreme_and_equal_values_give_a_finite_loss_and_gradient(make, context):
    loss = built(make())
    teacher, student = inputs_of(loss, context)
    for change in (
        lambda one: np.zeros_like(one),
        lambda one: np.full_like(one, 50.0),
        lambda one: 50.0 * np.sign(one),
    ):
        changed = keras.tree.map_structure(change, student)
        value, to_student, _, to_weights = value_and_gradients(loss, teacher, changed)
        assert np.isfinite(value)
        gradients = [*keras.tree.flatten(to_student), *to_weights]
        assert all(np.isfinite(gradient).all() for gradient in gradients if gradient is not None)


@every_ranking
def test_candidates_are_different_no_training_pairs_and_the_same_for_the_same_seed(make, context):
    loss = make()
    drawn = loss.draw(context, np.random.default_rng(4))
    items = drawn["item"]
    rows, choices = context.rows(loss.side), context.choices(loss.side)
    assert items.shape[0] == rows
    assert items.min() >= 0
    assert items.max() < choices
    pairs = {tuple(pair) for pair in context.dataset.pairs["train"][:, :: 1 if loss.side == "user" else -1]}
    assert not any((row, item) in pairs for row in range(rows) for item in items[row])
    if not isinstance(loss, (losses.UnbiasedDistillation, losses.RankingDistillation)):
        assert all(len(set(row)) == len(row) for row in items)
    again = make().draw(context, np.random.default_rng(4))
    for name, array in drawn.items():
        assert array.shape[1] in (1, items.shape[1])
        np.testing.assert_array_equal(array, again[name])


@every_ranking
def test_rankings_that_are_missing_or_too_short_are_refused(make, dataset, context):
    loss = make()
    name = "rankings" if loss.side == "user" else "item_rankings"
    with pytest.raises(ValueError, match=f"needs `{name}`"):
        loss.draw(RankingContext(dataset), np.random.default_rng(0))
    if isinstance(loss, losses.UnbiasedDistillation):
        return
    short = SimpleNamespace(items=np.zeros((USERS, 1), "int32"), scores=np.zeros((USERS, 1), "float32"))
    with pytest.raises(ValueError, match="at least . places"):
        loss.draw(RankingContext(dataset, short, short), np.random.default_rng(0))


@every_ranking
def test_scores_of_another_number_of_candidates_are_refused(make, context):
    loss = make()
    drawn, scores = inputs_of(loss, context)
    if any(array.shape[1] > 1 for array in drawn.values()):
        with pytest.raises(ValueError, match="same shape"):
            loss.compute_loss(drawn, scores[:, :-1])


@every_representation
def test_outputs_of_another_structure_are_refused(make):
    loss = built(make())
    teacher, student = vectors()
    with pytest.raises(ValueError, match="Received: teacher"):
        loss.compute_loss(teacher["user"], student)
    with pytest.raises(ValueError, match="as many vectors"):
        loss.compute_loss(teacher, {**student, "item": student["item"][:2]})


@every_representation
def test_weights_of_the_losss_own_are_saved_and_never_the_students(make):
    loss = built(make())
    assert bool(loss.trainable_variables) == loss.needs_build or isinstance(loss, losses.NextItemDistillation)
    assert len({id(variable) for variable in loss.variables}) == len(loss.variables)
