"""Training retrieval students: base losses, which rows count, what is drawn when, and the steps of the optimizer."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from tfdistill import _retrieval_batches, _retrieval_rows, _teacher_vectors, losses, retrieval_distiller
from tfdistill._retrieval_batches import RetrievalBatches
from tfdistill._retrieval_rows import first_occurrences
from tfdistill.data import Field, PopularityNegatives
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.models import bpr_mf, item_vectors, sas_rec, towers, two_tower, user_vectors
from tfdistill.retrieval_distiller import RetrievalDistiller, TeacherVectors
from tfdistill.soft_targets.rankings import Rankings
from tfdistill.sparsity import prune_low_magnitude

USERS, ITEMS, WIDTH = 6, 15, 3


@pytest.fixture
def dataset():
    random = np.random.default_rng(0)
    pairs = np.array([[user, item] for user in range(USERS) for item in random.permutation(ITEMS)[:5]])
    return ImplicitDataset(USERS, ITEMS, {"train": pairs, "validation": [], "test": []}, is_ordered=True)


@pytest.fixture
def teacher():
    random = np.random.default_rng(1)
    return TeacherVectors(random.normal(size=(USERS, 8)), random.normal(size=(ITEMS, 8)))


@pytest.fixture
def rankings(dataset, teacher):
    scores = teacher.user @ teacher.item.T
    scores[dataset.pairs["train"][:, 0], dataset.pairs["train"][:, 1]] = -np.inf
    items = np.argsort(-scores, axis=1)[:, :6]
    return Rankings(items, np.take_along_axis(scores, items, axis=1))


def student(seed=0):
    keras.utils.set_random_seed(seed)
    return bpr_mf(USERS, ITEMS, WIDTH, initializer=keras.initializers.RandomNormal(stddev=0.5))


def tables(model):
    user_tower, item_tower = towers(model)
    return user_tower.get_weights()[0].astype("float64"), item_tower.get_weights()[0].astype("float64")


BATCH = {
    "user": np.array([0, 2, 0, 3], "int32"),
    "item": np.array([4, 5, 4, 6], "int32"),
    "negative": np.array([[7, 1], [4, 2], [8, 8], [5, 0]], "int32"),
}


def compiled(distiller, optimizer=None, **kwargs):
    distiller.compile(optimizer or keras.optimizers.SGD(0.1), **kwargs)
    return distiller


def logs_of(distiller, batch=BATCH):
    return {name: float(value) for name, value in compiled(distiller).train_on_batch(batch, return_dict=True).items()}


@pytest.mark.parametrize("module", [retrieval_distiller, _retrieval_batches, _retrieval_rows, _teacher_vectors])
def test_every_example_gives_what_it_says(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_first_occurrences_are_those_of_numpy(compiled):
    masks = tf.function(first_occurrences, jit_compile=compiled)
    for ids in (
        np.random.default_rng(0).integers(0, 9, 40),
        np.arange(5)[::-1],
        np.zeros(7, int),
        np.array([10**8, 3]),
    ):
        expected = np.zeros(len(ids))
        expected[np.unique(ids, return_index=True)[1]] = 1
        np.testing.assert_array_equal(masks(tf.constant(ids, "int32")), expected)


def test_bpr_is_summed_over_pairs_and_negatives_or_averaged():
    model = student()
    users, items = tables(model)
    scores = users @ items.T
    difference = scores[BATCH["user"], BATCH["item"]][:, None] - np.take_along_axis(
        scores[BATCH["user"]], BATCH["negative"], 1
    )
    values = np.log1p(np.exp(-difference))
    for reduction, expected in (("sum", values.sum()), ("mean", values.mean())):
        found = logs_of(RetrievalDistiller(None, student(), reduction=reduction))
        np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
        assert found["distillation_loss"] == 0


def test_pointwise_is_binary_cross_entropy_of_the_item_against_its_negatives():
    users, items = tables(student())
    scores = np.concatenate(
        [
            np.take_along_axis((users @ items.T)[BATCH["user"]], ids, 1)
            for ids in (BATCH["item"][:, None], BATCH["negative"])
        ],
        1,
    )
    expected = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")(np.array([[1, 0, 0]] * 4), scores) * 3
    found = logs_of(RetrievalDistiller(None, student(), base_loss="pointwise"))
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)


def test_in_batch_softmax_is_corrected_for_popularity_and_copies_of_the_item_are_no_others(dataset):
    users, items = tables(student())
    probabilities = dataset.item_counts() / len(dataset.pairs["train"])
    logits = (users[BATCH["user"]] @ items[BATCH["item"]].T) / 0.5 - np.log(np.maximum(probabilities, 1e-9))[
        BATCH["item"]
    ]
    logits[[0, 2], [2, 0]] = -np.inf  # item 4 twice
    assert (probabilities[BATCH["item"]] > 0).all()
    distiller = RetrievalDistiller(None, student(), base_loss="in_batch_softmax", temperature=0.5)
    distiller.set_dataset(dataset)
    np.testing.assert_allclose(logs_of(distiller)["loss"], -np.trace(log_softmax(logits, axis=1)), rtol=1e-5)


def test_full_softmax_is_cross_entropy_over_all_items(dataset):
    users, items = tables(student())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    distiller = RetrievalDistiller(None, student(), base_loss="full_softmax")
    distiller.set_dataset(dataset)
    np.testing.assert_allclose(
        logs_of(distiller)["loss"], loss(BATCH["item"], users[BATCH["user"]] @ items.T), rtol=1e-5
    )


def test_losses_of_vectors_see_every_user_and_item_once(teacher):
    users, items = tables(student())
    user_ids, item_ids = np.unique(BATCH["user"]), np.unique([*BATCH["item"], *BATCH["negative"].ravel()])
    found = []
    for own in (
        np.concatenate([users[user_ids], items[item_ids]]),
        np.concatenate([teacher.user[user_ids], teacher.item[item_ids]]),
    ):
        own = own / np.linalg.norm(own, axis=1, keepdims=True)
        found.append(own @ own.T)
    logs = logs_of(RetrievalDistiller(teacher, student(), losses.FullTopologyDistillation(), 0.01))
    np.testing.assert_allclose(logs["distillation_loss"], 0.01 * np.sum((found[0] - found[1]) ** 2), rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], logs["base_loss"] + logs["distillation_loss"], rtol=1e-6)


def test_losses_of_scores_see_the_candidates_of_every_user_once():
    users, items = tables(student())
    candidates = np.random.default_rng(0).integers(0, ITEMS, (4, 5)).astype("int32")
    candidates[2] = candidates[0]  # user 0 twice
    loss = losses.RelaxedRankingDistillation(2, 3)
    scores = np.take_along_axis(users[BATCH["user"]] @ items.T, candidates, axis=1)[[0, 1, 3]].astype("float32")
    expected = loss.compute_loss({}, scores)
    logs = logs_of(RetrievalDistiller(None, student(), loss), BATCH | {"candidates": {"0": {"item": candidates}}})
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


def test_candidates_of_items_are_users_and_rows_the_positive_items():
    users, items = tables(student())
    candidates = np.random.default_rng(0).integers(0, USERS, (4, 3)).astype("int32")
    candidates[2] = candidates[0]
    loss = losses.RelaxedRankingDistillation(2, 1, side="item")
    scores = np.take_along_axis(items[BATCH["item"]] @ users.T, candidates, axis=1)[[0, 1, 3]].astype("float32")
    logs = logs_of(RetrievalDistiller(None, student(), loss), BATCH | {"candidates": {"0": {"item": candidates}}})
    np.testing.assert_allclose(logs["distillation_loss"], loss.compute_loss({}, scores), rtol=1e-5)


def test_a_sample_of_rows_stands_for_all_users(dataset, rankings):
    loss = losses.RelaxedRankingDistillation(2, 1, rank_temperature=None, pool=6, rows="all")
    batches = RetrievalBatches(dataset, batch_size=USERS, losses=[loss], rankings=rankings)
    candidates = batches[0]["candidates"]["0"]
    assert sorted(candidates["row"]) == list(range(USERS))
    np.testing.assert_array_equal(candidates["row_weight"], 1)  # six of six users
    np.testing.assert_array_equal(candidates["item"][:, :2], rankings.items[candidates["row"], :2])
    np.testing.assert_array_equal(
        RetrievalBatches(dataset, batch_size=2, losses=[loss], rankings=rankings)[0]["candidates"]["0"]["row_weight"], 3
    )
    users, items = tables(student())
    scores = np.take_along_axis(users[candidates["row"]] @ items.T, candidates["item"], axis=1).astype("float32")
    logs = logs_of(RetrievalDistiller(None, student(), loss), batches[0])
    np.testing.assert_allclose(logs["distillation_loss"], loss.compute_loss({}, scores), rtol=1e-5)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_steps_are_those_of_pytorchs_adam_with_weight_decay_on_every_row(run_eagerly):
    # torch.optim.Adam: g <- g + wd w; m, v; w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps), written out.
    rate, decay = 0.05, 0.1
    model = student()
    distiller = compiled(
        RetrievalDistiller(None, model, l2=decay), keras.optimizers.Adam(rate, epsilon=1e-8), run_eagerly=run_eagerly
    )
    weights = list(tables(model))
    moments = [[np.zeros_like(one), np.zeros_like(one)] for one in weights]
    for step in range(1, 4):
        users, items = weights
        gradients = [np.zeros_like(one) for one in weights]
        for user, item, negatives in zip(*BATCH.values(), strict=True):
            for negative in negatives:
                slope = -1 / (1 + np.exp(users[user] @ (items[item] - items[negative])))
                gradients[0][user] += slope * (items[item] - items[negative])
                gradients[1][item] += slope * users[user]
                gradients[1][negative] -= slope * users[user]
        for i, gradient in enumerate(gradients):
            gradient = gradient + decay * weights[i]
            first, second = moments[i]
            first[:] = 0.9 * first + 0.1 * gradient
            second[:] = 0.999 * second + 0.001 * gradient**2
            corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            weights[i] = weights[i] - rate * first / (1 - 0.9**step) / corrected
        distiller.train_on_batch(BATCH)
        for found, expected in zip(tables(model), weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_xla_trains_as_the_graph_does(dataset, teacher, rankings):
    found = []
    for jit_compile in (False, True):
        distiller = RetrievalDistiller(
            teacher,
            student(),
            [losses.FullTopologyDistillation(), losses.RelaxedRankingDistillation(2, 2, pool=6)],
            [0.1, 0.1],
            l2=1e-2,
        )
        compiled(distiller, keras.optimizers.Adam(0.01), jit_compile=jit_compile)
        distiller.fit_retrieval(dataset, epochs=2, batch_size=10, rankings=rankings, verbose=0)
        found.append(tables(distiller.student))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


class Recorder(losses.RankingLoss):
    """Draws its epoch's number, and notes what it saw."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drawn, self.seen = [], []

    def draw(self, context, random):
        self.drawn.append((context.epoch, context.epochs, random.integers(10**6), context.student_scores(np.arange(2))))
        return {"item": np.full((USERS, 1), context.epoch), "mark": np.full((USERS, 1), context.epoch)}

    def row_losses(self, drawn, scores):
        return drawn["mark"][:, 0] + 0.0 * scores[:, 0]


@pytest.mark.parametrize("drop_remainder", [False, True])
def test_candidates_are_drawn_once_an_epoch_with_the_student_as_it_stands(dataset, drop_remainder):
    loss = Recorder(reduction="mean")
    model = student()
    first = user_vectors(model, dataset)[:2] @ item_vectors(model, dataset).T
    history = compiled(RetrievalDistiller(None, model, loss)).fit_retrieval(
        dataset, epochs=3, batch_size=7, seed=5, drop_remainder=drop_remainder, verbose=0
    )
    assert [one[:2] for one in loss.drawn] == [(0, 3), (1, 3), (2, 3)]
    assert len({one[2] for one in loss.drawn}) == 3
    np.testing.assert_allclose(loss.drawn[0][3], first, rtol=1e-5)
    assert not np.allclose(loss.drawn[1][3], first)
    # Batches of an epoch carry what was drawn for it.
    np.testing.assert_allclose(history.history["distillation_loss"], [0, 1, 2], atol=1e-6)


def test_as_many_negatives_are_drawn_as_asked_for_whatever_draws_them(dataset):
    batches = RetrievalBatches(dataset, batch_size=8, negatives=3, negatives_from=PopularityNegatives(dataset))
    assert batches[0]["negative"].shape == (8, 3)


def test_negatives_and_order_are_new_every_epoch_and_the_same_for_the_same_seed(dataset):
    def epochs(seed, first_epoch=0):
        batches = RetrievalBatches(dataset, batch_size=8, negatives=2, seed=seed, first_epoch=first_epoch)
        for _ in range(2):
            batches.on_epoch_begin()
            yield [batches[i] for i in range(len(batches))]

    one, again, other, later = (list(epochs(*arguments)) for arguments in ((1,), (1,), (2,), (1, 1)))
    chosen = {tuple(pair) for pair in dataset.pairs["train"]}
    for epoch in one:
        assert [len(batch["user"]) for batch in epoch] == [8, 8, 8, 6]
        pairs = {pair for batch in epoch for pair in zip(batch["user"], batch["item"], strict=True)}
        assert pairs == chosen
        assert all(
            (u, j) not in chosen
            for batch in epoch
            for u, row in zip(batch["user"], batch["negative"], strict=True)
            for j in row
        )
    keras.tree.map_structure(np.testing.assert_array_equal, one, again)
    keras.tree.map_structure(np.testing.assert_array_equal, one[1], later[0])
    for different in (other[0], one[1]):
        assert not np.array_equal(one[0][0]["negative"], different[0]["negative"])
        assert not np.array_equal(one[0][0]["item"], different[0]["item"])


def test_fit_takes_a_function_of_the_epoch():
    asked = []

    def batches(epoch):
        asked.append(epoch)
        return BATCH

    history = compiled(RetrievalDistiller(None, student())).fit(batches, batch_size=2, epochs=3, verbose=0)
    assert asked == [0, 1, 2]
    assert history.history["loss"][-1] < history.history["loss"][0]
    arrays = compiled(RetrievalDistiller(None, student())).fit(BATCH, batch_size=2, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_allclose(arrays.history["loss"], history.history["loss"][:1], rtol=1e-6)
    steps = tf.data.Dataset.from_tensor_slices(BATCH).batch(2)
    pipeline = compiled(RetrievalDistiller(None, student())).fit(steps, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_allclose(pipeline.history["loss"], history.history["loss"][:1], rtol=1e-6)


def test_selectors_of_experts_cool_down_in_training(dataset, teacher):
    loss = losses.DistillationExperts(2, final_temperature=0.01, seed=0)
    distiller = compiled(RetrievalDistiller(teacher, student(), loss, 0.01))
    distiller.fit_retrieval(dataset, epochs=3, batch_size=16, verbose=0)
    np.testing.assert_allclose(float(loss.current_temperature), 0.1, rtol=1e-5)  # half way after the second of three


def test_experts_are_trained_and_decay_with_the_student_and_are_no_part_of_it(dataset, teacher):
    loss = losses.HierarchicalTopologyDistillation(2, seed=0)
    model = student()
    distiller = compiled(RetrievalDistiller(teacher, model, loss, 1e-3, l2=1e-3), keras.optimizers.Adam(0.01))
    before = loss.get_weights()
    distiller.fit_retrieval(dataset, epochs=1, batch_size=16, verbose=0)
    changed = [not np.array_equal(one, other) for one, other in zip(before, loss.get_weights(), strict=True)]
    assert sum(changed) >= len(loss.trainable_variables)
    assert {id(one) for one in model.variables}.isdisjoint(id(one) for one in loss.variables)
    assert len(distiller.trainable_variables) == len(model.trainable_variables) + len(loss.trainable_variables)


def test_a_retrieval_model_is_a_teacher_and_stays_as_it_is(dataset):
    keras.utils.set_random_seed(4)
    fields = [Field("user", "categorical", "user", USERS)], [Field("item", "categorical", "item", ITEMS)]
    model = two_tower(*fields, embedding_width=4, hidden_units=(), width=5)
    before = model.get_weights()
    distiller = compiled(
        RetrievalDistiller(model, student(), losses.EmbeddingDistillation(), 0.1, l2=1e-3), keras.optimizers.Adam(0.01)
    )
    assert {id(one) for one in model.variables}.isdisjoint(id(one) for one in distiller.variables)
    history = distiller.fit_retrieval(dataset, epochs=8, batch_size=10, verbose=0).history["distillation_loss"]
    assert history[-1] < history[0]
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    vectors = TeacherVectors(user_vectors(model, dataset), item_vectors(model, dataset))
    same = compiled(
        RetrievalDistiller(vectors, student(), losses.EmbeddingDistillation(), 0.1, l2=1e-3),
        keras.optimizers.Adam(0.01),
    )
    again = same.fit_retrieval(dataset, epochs=8, batch_size=10, verbose=0).history["distillation_loss"]
    np.testing.assert_allclose(again, history, rtol=1e-4)


def test_histories_of_the_batch_go_to_student_and_teacher_alike(dataset):
    keras.utils.set_random_seed(5)
    teacher, small = (sas_rec(ITEMS, 4, embedding_width=width) for width in (8, 4))
    loss = losses.NextItemDistillation(contrastive_weight=0.0)
    distiller = RetrievalDistiller(teacher, small, loss, base_loss="full_softmax", base_loss_weight=0.2)
    distiller.set_dataset(dataset)
    histories = np.array([[0, 0, 3, 5], [0, 0, 0, 9]], "int32")
    batch = {"user": {"history": histories}, "item": np.array([1, 2], "int32")}
    scores = []
    for model in (teacher, small):
        user_tower, _ = towers(model)
        scores.append(np.asarray(user_tower({"history": histories})) @ item_vectors(model, dataset).T)
    log_teacher, log_student = (log_softmax(one.astype("float64"), axis=1) for one in scores)
    divergence = np.sum(np.exp(log_teacher) * (log_teacher - log_student))
    distiller.compile(keras.optimizers.SGD(0.0))
    logs = distiller.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], 0.8 * divergence, rtol=1e-4)
    np.testing.assert_allclose(logs["base_loss"], -log_student[[0, 1], [1, 2]].sum(), rtol=1e-4)
    history = compiled(distiller, keras.optimizers.Adam(0.01)).fit_retrieval(dataset, epochs=3, batch_size=8, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_features_come_from_the_data_set_where_batches_hold_ids(dataset):
    dataset.item_features["price"] = np.linspace(0, 1, ITEMS, dtype="float32")
    fields = (
        [Field("user", "categorical", "user", USERS)],
        [Field("item", "categorical", "item", ITEMS), Field("price", "numeric", "item", 0)],
    )
    model = two_tower(*fields, embedding_width=4, hidden_units=(), width=3)
    distiller = compiled(RetrievalDistiller(None, model))
    distiller.fit_retrieval(dataset, epochs=1, batch_size=10, verbose=0)
    expected = item_vectors(model, dataset)[BATCH["item"]]
    np.testing.assert_allclose(distiller._vectors("item", BATCH["item"], training=False), expected, rtol=1e-5)
    dataset.item_features["price"] = np.zeros((ITEMS, 3))
    with pytest.raises(UserError, match="item feature 'price'"):
        distiller.set_dataset(dataset)
    with pytest.raises(ValueError, match='takes "price"'):
        logs_of(RetrievalDistiller(None, model))


def test_regularisation_losses_of_the_student_count():
    model = bpr_mf(USERS, ITEMS, WIDTH, embedding_l2=0.5)
    logs = logs_of(RetrievalDistiller(None, model))
    assert logs["loss"] > logs["base_loss"]


def test_half_precision_students_train_as_float32_ones_do():
    found = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = student()
        finally:
            keras.config.set_dtype_policy("float32")
        distiller = compiled(RetrievalDistiller(None, model, l2=0.1), keras.optimizers.SGD(0.1), auto_scale_loss=True)
        distiller.train_on_batch(BATCH)
        found.append(tables(model))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


def test_a_saved_distiller_goes_on_with_its_teacher_back(dataset, teacher, tmp_path):
    keras.utils.set_random_seed(6)
    loss = losses.DistillationExperts(1)  # without a choice there is no noise
    distiller = compiled(
        RetrievalDistiller(
            teacher, student(), [loss, losses.FullTopologyDistillation()], [0.1, 0.2], l2=0.1, reduction="mean"
        ),
        keras.optimizers.Adam(0.01),
    )
    distiller.fit_retrieval(dataset, epochs=1, batch_size=16, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.teacher is None
    assert (loaded.l2, loaded.reduction, loaded.base_loss) == (0.1, "mean", "bpr")
    with pytest.raises(ValueError, match="need a teacher"):
        loaded.evaluate(BATCH, verbose=0)
    loaded.teacher = teacher
    expected, found = (one.evaluate(BATCH, verbose=0, return_dict=True) for one in (distiller, loaded))
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
    loaded.student.save(tmp_path / "student.keras")
    assert keras.saving.load_model(tmp_path / "student.keras").count_params() == (USERS + ITEMS) * WIDTH


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"student": keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])}, "sub-models user_tower"),
        ({"student": "model"}, "`student` must be a keras.Model"),
        ({"teacher": np.ones((3, 2))}, "`teacher` must be TeacherVectors"),
        ({"losses": losses.LogitsDistillation()}, "`losses` must be ranking and representation losses"),
        ({"losses": losses.FullTopologyDistillation(), "loss_weights": [1.0, 2.0]}, "one weight for each"),
        ({"base_loss": "hinge"}, "`base_loss` must be one of"),
        ({"base_loss": None}, "`base_loss` may be None only"),
        ({"reduction": "none"}, "`reduction`"),
        ({"l2": -1}, "`l2`"),
        ({"temperature": 0}, "`temperature`"),
        ({"base_loss_weight": float("nan")}, "`base_loss_weight`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RetrievalDistiller(**{"teacher": None, "student": student(), **arguments})


def test_teacher_vectors_of_other_users_or_widths_are_refused(dataset):
    with pytest.raises(ValueError, match="one width"):
        TeacherVectors(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="finite"):
        TeacherVectors(np.full((2, 3), np.nan), np.ones((2, 3)))
    distiller = compiled(
        RetrievalDistiller(
            TeacherVectors(np.ones((5, 3)), np.ones((ITEMS, 3))), student(), losses.FullTopologyDistillation()
        )
    )
    with pytest.raises(ValueError, match="each of the 6 users. Received: 5"):
        distiller.fit_retrieval(dataset, verbose=0)


def test_what_batches_lack_is_named(teacher):
    with pytest.raises(ValueError, match='needs "negative"'):
        logs_of(RetrievalDistiller(None, student()), {"user": BATCH["user"], "item": BATCH["item"]})
    with pytest.raises(ValueError, match="needs the candidates"):
        logs_of(RetrievalDistiller(None, student(), losses.RelaxedRankingDistillation()))
    with pytest.raises(ValueError, match="Batches must be dicts"):
        compiled(RetrievalDistiller(None, student())).fit(np.ones((4, 2)), verbose=0)
    with pytest.raises(ValueError, match="no labels"):
        compiled(RetrievalDistiller(None, student())).fit(BATCH, y=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match="need a teacher"):
        logs_of(RetrievalDistiller(None, student(), losses.FullTopologyDistillation()))


def test_a_student_under_transforms_is_refused_since_its_towers_have_none():
    with pytest.raises(ValueError, match="pruned, clustered or quantised in training"):
        RetrievalDistiller(None, prune_low_magnitude(student()))
