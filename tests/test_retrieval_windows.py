"""Training at all places of a history at once: what a place sees, which places count, what is computed of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from tfdistill import losses
from tfdistill._batch_vectors import BatchVectors
from tfdistill._retrieval_batches import RetrievalBatches
from tfdistill._retrieval_windows import Places, check_teacher, window_length
from tfdistill.data import Field, next_item_windows
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.models import bpr_mf, item_vectors, sas_rec, sequence_tower, towers, two_tower, user_vectors
from tfdistill.retrieval_distiller import RetrievalDistiller, TeacherVectors
from tfdistill.soft_targets.rankings import Rankings

USERS, ITEMS, LENGTH = 6, 15, 4
HISTORY = np.array([[0, 0, 3, 5], [2, 9, 4, 1], [0, 0, 0, 0]], "int32")
TARGETS = np.array([[0, 0, 5, 9], [9, 4, 0, 7], [0, 0, 0, 0]], "int32")  # item numbers + 1; 0 counts nothing
NEGATIVES = np.array([[[0, 0], [0, 0], [1, 9], [2, 2]], [[8, 3], [1, 5], [0, 0], [3, 1]], [[0, 0]] * 4], "int32")
BATCH = {"user": {"history": HISTORY}, "item": TARGETS, "negative": NEGATIVES}
COUNTED = np.flatnonzero(TARGETS)  # places 2, 3, 4, 5, 7 of twelve


@pytest.fixture
def dataset():
    random = np.random.default_rng(0)
    pairs = np.array([[user, item] for user in range(USERS) for item in random.permutation(ITEMS)[: 3 + user % 4]])
    return ImplicitDataset(USERS, ITEMS, {"train": pairs, "validation": [], "test": []}, is_ordered=True)


def model(width=4, seed=0, **settings):
    one = sas_rec(ITEMS, LENGTH, width, **{"blocks": 1, "dropout": 0.0} | settings)
    random = np.random.default_rng(seed)
    for variable in one.trainable_variables:
        is_scale = variable.path.endswith("gamma")
        variable.assign(np.ones(variable.shape) if is_scale else random.normal(scale=0.4, size=variable.shape))
    return one


def parts(one):
    """Vectors [places, d] at the places that count, all later items cleared away, and of all items [items, d]."""
    users = []
    for row, place in zip(*np.nonzero(TARGETS), strict=True):
        known = np.where(np.arange(LENGTH) <= place, HISTORY[row], 0)
        users.append(np.asarray(sequence_tower(one)({"history": known[None]}))[0, place])
    return np.array(users, "float64"), np.asarray(towers(one)[1]({"item": np.arange(ITEMS)}), "float64")


def logs_of(distiller, batch=BATCH, **kwargs):
    distiller.compile(keras.optimizers.SGD(0.0), **kwargs)
    return {name: float(value) for name, value in distiller.train_on_batch(batch, return_dict=True).items()}


def test_the_vector_at_a_place_is_that_of_a_user_with_this_history_and_no_more():
    one = model(blocks=2)
    (positions,) = sequence_tower(one).get_layer("positions").trainable_variables
    positions.assign(keras.ops.zeros(positions.shape))  # by which alone the end of a history differs from its middle
    vectors = Places(_tensors(BATCH)).vectors(one, BATCH["user"], training=False)
    for place in COUNTED:
        row, last = divmod(int(place), LENGTH)
        prefix = np.concatenate([np.zeros(LENGTH - 1 - last, "int32"), HISTORY[row, : last + 1]])
        expected = towers(one)[0]({"history": prefix[None]})[0]
        np.testing.assert_allclose(vectors[place], expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(np.asarray(vectors)[COUNTED], axis=0).min() > 0.3


def test_histories_of_a_window_end_before_the_item_that_their_last_place_predicts(dataset):
    windows = next_item_windows(dataset, LENGTH)
    chosen = dataset.lists("train")
    for user, history, target in zip(*windows.values(), strict=True):
        items = chosen.items[chosen.offsets[user] : chosen.offsets[user + 1]] + 1
        assert target[-1] == items[-1] and history[-1] == items[-2]
        assert target[-1] not in history


def _tensors(batch):
    return {name: tf.constant(array) for name, array in batch.items() if name != "user"}


def test_places_without_a_target_and_items_that_come_again_weigh_nothing():
    distiller = RetrievalDistiller(None, model())
    batch = BatchVectors(distiller, _tensors(BATCH) | {"user": {"history": tf.constant(HISTORY)}}, training=False)
    rows = [0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0]
    np.testing.assert_array_equal(batch.pairs.weights, rows)
    np.testing.assert_array_equal(batch.weights["user"], rows)
    # Targets 5, 9, 9, 4, 7: 9 comes again. Negatives of those places: 1 9 | 2 2 | 8 3 | 1 5 | 3 1.
    positives = [0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0]
    negatives = [[0, 0], [0, 0], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0], [0, 0]] + [[0, 0]] * 4
    np.testing.assert_array_equal(batch.weights["item"], positives + np.ravel(negatives).tolist())


@pytest.mark.parametrize("base_loss", ["bpr", "pointwise", "full_softmax", "in_batch_softmax"])
def test_base_losses_are_those_of_the_prefixes_one_by_one(dataset, base_loss):
    one = model()
    users, items = parts(one)
    targets = TARGETS.ravel()[COUNTED] - 1
    scores = users @ items.T
    positive = scores[np.arange(5), targets]
    negative = np.take_along_axis(scores, NEGATIVES.reshape(12, 2)[COUNTED] - 1, axis=1)
    counts = np.maximum(dataset.item_counts(), 1) / len(dataset.pairs["train"])
    in_batch = scores[:, targets] - np.log(counts[targets])
    in_batch[(targets[:, None] == targets) & ~np.eye(5, dtype=bool)] = -np.inf
    values = {
        "bpr": np.log1p(np.exp(negative - positive[:, None])),
        "pointwise": np.log1p(np.exp(-positive)) + np.log1p(np.exp(negative)).sum(axis=1),
        "full_softmax": -log_softmax(scores, axis=1)[np.arange(5), targets],
        "in_batch_softmax": -np.diagonal(log_softmax(in_batch, axis=1)),
    }[base_loss]
    for reduction, expected in (("sum", values.sum()), ("mean", values.mean())):
        distiller = RetrievalDistiller(None, one, base_loss=base_loss, reduction=reduction)
        distiller.set_dataset(dataset)
        for batch in (BATCH, BATCH | {"place": np.array([7, 5, 4, 3, 2, 0, 6], "int32")}):
            np.testing.assert_allclose(logs_of(distiller, batch)["base_loss"], expected, rtol=1e-4)


def test_one_negative_a_place_may_come_without_an_axis_of_its_own():
    distiller = RetrievalDistiller(None, model(), base_loss="pointwise")
    found = [
        logs_of(distiller, BATCH | {"negative": array})["loss"] for array in (NEGATIVES[..., :1], NEGATIVES[..., 0])
    ]
    assert found[0] == found[1]


def test_the_teacher_predicts_the_next_item_at_the_same_places(dataset):
    teacher, student = model(8, seed=1), model(4, seed=2)
    loss = losses.NextItemDistillation(contrastive_weight=0.0, temperature=2.0)
    distiller = RetrievalDistiller(teacher, student, loss, base_loss="full_softmax")
    distiller.set_dataset(dataset)
    log_teacher, log_student = (
        log_softmax(users @ items.T / 2, axis=1) for users, items in map(parts, (teacher, student))
    )
    divergence = np.sum(np.exp(log_teacher) * (log_teacher - log_student))
    np.testing.assert_allclose(logs_of(distiller)["distillation_loss"], 0.8 * 4 * divergence, rtol=1e-4)


def test_losses_of_vectors_see_every_place_and_every_item_once(dataset):
    teacher, student = model(4, seed=1), model(4, seed=2)
    distiller = RetrievalDistiller(teacher, student, losses.EmbeddingDistillation(projector=None))
    distiller.set_dataset(dataset)
    (teacher_users, teacher_items), (users, items) = parts(teacher), parts(student)
    once = np.unique([*TARGETS.ravel(), *NEGATIVES.ravel()])[1:] - 1
    expected = np.sum((teacher_users - users) ** 2) + np.sum((teacher_items - items)[once] ** 2)
    np.testing.assert_allclose(logs_of(distiller)["distillation_loss"], expected, rtol=1e-4)


def test_candidates_are_scored_by_all_that_is_known_of_the_user(dataset):
    one = model()
    scores = user_vectors(one, dataset) @ item_vectors(one, dataset).T
    rankings = Rankings(np.argsort(-scores, axis=1)[:, :6], -np.sort(-scores, axis=1)[:, :6])
    for rows in ("batch", "all"):
        loss = losses.RelaxedRankingDistillation(2, 2, pool=6, rows=rows)
        windows = next_item_windows(dataset, LENGTH)
        batch = RetrievalBatches(dataset, USERS, 1, losses=[loss], rankings=rankings, windows=windows)[0]
        drawn = batch["candidates"]["0"]
        users = drawn.get("row", batch["user"]["user"])
        assert sorted(users) == list(range(USERS))
        distiller = RetrievalDistiller(None, one, loss)
        distiller.set_dataset(dataset)
        expected = loss.compute_loss({}, np.take_along_axis(scores[users], drawn["item"], axis=1))
        np.testing.assert_allclose(logs_of(distiller, batch)["distillation_loss"], expected, rtol=1e-4)


def test_batches_hold_every_target_once_an_epoch_with_new_negatives_and_one_number_of_places(dataset):
    windows = next_item_windows(dataset, LENGTH)
    chosen = {tuple(pair) for pair in dataset.pairs["train"]}
    expected = sorted(
        (user, item) for user, row in zip(windows["user"], windows["target"], strict=True) for item in row if item
    )

    def epochs(seed):
        batches = RetrievalBatches(dataset, 4, 2, epochs=2, seed=seed, windows=windows)
        for _ in range(2):
            batches.on_epoch_begin()
            yield [batches[i] for i in range(len(batches))]

    one, again, other = (list(epochs(seed)) for seed in (1, 1, 2))
    keras.tree.map_structure(np.testing.assert_array_equal, one, again)
    assert not np.array_equal(one[0][0]["negative"], one[1][0]["negative"])
    assert not np.array_equal(one[0][0]["negative"], other[0][0]["negative"])
    for epoch in one:
        assert [len(batch["item"]) for batch in epoch] == [4, 2]
        seen = []
        for batch in epoch:
            user, target, negative = batch["user"]["user"], batch["item"], batch["negative"]
            seen += [
                (user[place // LENGTH], target.ravel()[place]) for place in batch["place"] if target.ravel()[place]
            ]
            assert ((negative > 0) == (target > 0)[..., None]).all()
            for row, place in zip(*np.nonzero(target), strict=True):
                assert not {(user[row], item - 1) for item in negative[row, place]} & chosen
        assert sorted(seen) == expected
    rows = {len(epoch[0]["place"]) for epoch in one}
    assert len(rows) == 1 and rows.pop() < 4 * LENGTH


def test_a_batch_of_places_without_padding_is_the_batch(dataset):
    windows = {name: column[:1] for name, column in next_item_windows(dataset, 2).items()}
    batch = RetrievalBatches(dataset, 1, windows=windows)[0]
    np.testing.assert_array_equal(batch["place"], [0, 1])


def test_graph_xla_and_eager_steps_are_the_same(dataset):
    found = []
    for how in ({}, {"jit_compile": True}, {"run_eagerly": True}):
        teacher, student = model(8, seed=1), model(4, seed=2)
        keras.utils.set_random_seed(0)
        distiller = RetrievalDistiller(teacher, student, losses.NextItemDistillation(), base_loss="pointwise")
        distiller.compile(keras.optimizers.SGD(0.01), **how)
        distiller.fit_retrieval(dataset, epochs=2, batch_size=3, verbose=0)
        found.append(student.get_weights())
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_sequences_are_learned_by_heart_and_taught():
    # Users walk around a ring of 8 items; the next one is what they choose in the test.
    walks = np.array([[(user + step) % 8 for step in range(5)] for user in range(16)])
    pairs = np.array([[user, item] for user, walk in enumerate(walks) for item in walk])
    test = np.stack([np.arange(16), (walks[:, -1] + 1) % 8], axis=1)
    data = ImplicitDataset(16, 8, {"train": pairs, "validation": [], "test": test}, is_ordered=True)
    keras.utils.set_random_seed(0)
    settings = {"blocks": 1, "dropout": 0.0, "initializer": keras.initializers.RandomNormal(stddev=0.3)}
    teacher, student = (sas_rec(8, 4, width, **settings) for width in (16, 8))
    loss = losses.NextItemDistillation()
    alone = RetrievalDistiller(None, teacher, base_loss="pointwise")
    taught = RetrievalDistiller(teacher, student, loss, base_loss="full_softmax", base_loss_weight=0.2)
    for distiller, one in ((alone, teacher), (taught, student)):
        before = [array.copy() for array in teacher.get_weights()]
        distiller.compile(keras.optimizers.Adam(0.02))
        history = distiller.fit_retrieval(data, epochs=40, batch_size=16, negatives=3, verbose=0).history
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        scores = user_vectors(one, data) @ item_vectors(one, data).T
        scores[tuple(pairs.T)] = -np.inf  # negatives are never what the user chose
        np.testing.assert_array_equal(scores.argmax(axis=1), test[:, 1])
    assert all(np.array_equal(*both) for both in zip(before, teacher.get_weights(), strict=True))
    assert {id(one) for one in teacher.variables}.isdisjoint(id(one) for one in taught.variables)


def test_a_saved_distiller_goes_on_with_its_teacher_back(dataset, tmp_path):
    teacher = model(8, seed=1)
    distiller = RetrievalDistiller(teacher, model(), losses.NextItemDistillation(), base_loss="full_softmax")
    distiller.compile(keras.optimizers.Adam(0.01))
    distiller.fit_retrieval(dataset, epochs=1, batch_size=3, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    loaded.teacher = teacher
    loaded.set_dataset(dataset)
    batches = tf.data.Dataset.from_tensors(BATCH)
    expected, found = (one.evaluate(batches, verbose=0, return_dict=True) for one in (distiller, loaded))
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)


def refused(distiller, dataset):
    distiller.compile(keras.optimizers.SGD(0.1))
    distiller.fit_retrieval(dataset, batch_size=3, verbose=0)


def test_what_windows_cannot_train_is_refused(dataset):
    fields = [Field("history", "bag", "user", ITEMS + 1, LENGTH)], [Field("item", "categorical", "item", ITEMS)]
    bag = two_tower(*fields, embedding_width=4, hidden_units=(), width=3)
    with pytest.raises(ValueError, match="holds the very item to be predicted. Use `sas_rec`"):
        refused(RetrievalDistiller(None, bag), dataset)
    with pytest.raises(ValueError, match="gives no vectors at its places"):
        window_length(bpr_mf(USERS, ITEMS, 3))
    unordered = ImplicitDataset(USERS, ITEMS, dataset.pairs)
    with pytest.raises(UserError, match="stand in no order of time"):
        refused(RetrievalDistiller(None, model()), unordered)
    vectors = TeacherVectors(np.ones((USERS, 3)), np.ones((ITEMS, 3)))
    for teacher in (vectors, bpr_mf(USERS, ITEMS, 3)):
        with pytest.raises(ValueError, match="need a teacher that reads the same history"):
            refused(RetrievalDistiller(teacher, model(), losses.NextItemDistillation()), dataset)
    with pytest.raises(ValueError, match="one length, `max_length`. Received: 5 and 4"):
        check_teacher(model(), sas_rec(ITEMS, 5, 8, blocks=1))
    with pytest.raises(ValueError, match="a teacher"):
        logs_of(RetrievalDistiller(None, model(), losses.NextItemDistillation()))
    loss = losses.RelaxedRankingDistillation(2, 1, side="item")
    with pytest.raises(ValueError, match='needs rows="all"'):
        refused(RetrievalDistiller(None, model(), loss), dataset)
    with pytest.raises(ValueError, match='needs the numbers of users, "user" beside'):
        candidates = {"candidates": {"0": {"item": np.zeros((3, 2), "int32")}}}
        logs_of(RetrievalDistiller(None, model(), losses.RelaxedRankingDistillation(1, 1)), BATCH | candidates)


def test_a_sequence_model_teaches_one_that_has_a_row_for_each_user(dataset):
    distiller = RetrievalDistiller(model(8), bpr_mf(USERS, ITEMS, 3), losses.EmbeddingDistillation())
    distiller.compile(keras.optimizers.Adam(0.01))
    history = distiller.fit_retrieval(dataset, epochs=5, batch_size=8, verbose=0).history["distillation_loss"]
    assert history[-1] < history[0]
