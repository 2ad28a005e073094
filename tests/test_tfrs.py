"""Models of TFRS, with TFRS's own tasks: as teachers, as students, pruned by TFMOT, exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller, losses
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.evaluation import rank_with_file
from tfdistill.export import export_retrieval
from tfdistill.models import bpr_mf

tf_keras = pytest.importorskip("tf_keras")
tfrs = pytest.importorskip("tensorflow_recommenders")

from tfdistill.retrieval_distiller import RetrievalDistiller, TeacherVectors  # noqa: E402
from tfdistill.tfrs import DistillationTask, tower_vectors  # noqa: E402

USERS, ITEMS = 12, 20
NAMES = np.array([f"user {number}" for number in range(USERS)])


@pytest.fixture
def dataset():
    pairs = np.array([(user, item) for user in range(USERS) for item in range(ITEMS) if (item - user) % 4 == 0])
    return ImplicitDataset(USERS, ITEMS, {"train": pairs[::2], "validation": [], "test": pairs[1::2]}, user_ids=NAMES)


class TwoTowers(tfrs.Model):
    """Retrieval by user name and item number, with a distillation task where there is one."""

    def __init__(self, width, distillation=None, teacher=None, user_tower=None, item_tower=None):
        super().__init__()
        names = tf_keras.layers.StringLookup(vocabulary=NAMES, num_oov_indices=0)
        table = tf_keras.layers.Embedding(USERS, width)
        self.user_tower = user_tower or tf_keras.Sequential([names, table])
        item = tf_keras.layers.Embedding(ITEMS, width, input_shape=())
        self.item_tower = item_tower or tf_keras.Sequential([item])
        self.task = tfrs.tasks.Retrieval()
        self.distillation, self.teacher = distillation, teacher

    def vectors(self, inputs, training):
        return self.user_tower(inputs["name"], training=training), self.item_tower(inputs["item"], training=training)

    def compute_loss(self, inputs, training=False):
        user, item = self.vectors(inputs, training)
        loss = self.task(user, item)
        if self.distillation is None:
            return loss
        teacher = {
            "user": tf.gather(self.teacher.user, inputs["user"]),
            "item": tf.gather(self.teacher.item, inputs["item"]),
        }
        return loss + self.distillation(teacher, {"user": user, "item": item})


class Scores(TwoTowers):
    """The same, distilling the scores of the batch."""

    def compute_loss(self, inputs, training=False):
        user, item = self.vectors(inputs, training)
        teacher = [tf.gather(self.teacher.user, inputs["user"]), tf.gather(self.teacher.item, inputs["item"])]
        return self.task(user, item) + self.distillation(
            tf.matmul(*teacher, transpose_b=True), tf.matmul(user, item, transpose_b=True)
        )


def batch_of(dataset, rows=8):
    user, item = dataset.pairs["train"][:rows].T
    return {"user": user, "name": NAMES[user], "item": item}


def fit(model, batch, steps=1, **settings):
    return model.fit(tf.data.Dataset.from_tensors(batch).repeat(steps), verbose=0, **settings)


def fitted(model, batch, steps=1):
    model.compile(tf_keras.optimizers.SGD(0.1))
    fit(model, batch, steps)
    return model


def random_vectors(width, seed=0):
    random = np.random.default_rng(seed)
    return TeacherVectors(random.normal(size=(USERS, width)), random.normal(size=(ITEMS, width)))


def test_vectors_of_towers_are_their_rows_by_number(dataset):
    model = fitted(TwoTowers(4), batch_of(dataset))
    vectors = tower_vectors(model.user_tower, model.item_tower, NAMES[::-1], np.arange(ITEMS), batch_size=5)
    np.testing.assert_array_equal(vectors.user[::-1], model.user_tower.get_weights()[0])
    np.testing.assert_array_equal(vectors.item, model.item_tower.get_weights()[0])


def test_inputs_of_a_tower_may_be_a_dict(dataset):
    def tower(inputs):
        return tf.stack([tf.cast(inputs["number"], tf.float32), inputs["age"]], axis=1)

    users = {"number": np.arange(3), "age": np.array([30.0, 40.0, 50.0], "float32")}
    items = {"number": np.arange(2), "age": np.zeros(2, "float32")}
    vectors = tower_vectors(tower, tower, users, items, batch_size=2)
    np.testing.assert_array_equal(vectors.user, [[0, 30], [1, 40], [2, 50]])
    with pytest.raises(ValueError, match=r"`items` must have arrays of one length. Received lengths: \[1, 2\]"):
        tower_vectors(tower, tower, users, {"number": np.arange(2), "age": np.zeros(1, "float32")})


def test_vectors_of_a_trained_retrieval_model_teach_a_keras_3_student(dataset):
    model = fitted(TwoTowers(4), batch_of(dataset))
    teacher = tower_vectors(model.user_tower, model.item_tower, NAMES, np.arange(ITEMS))
    student = bpr_mf(USERS, ITEMS, 2)
    distiller = RetrievalDistiller(teacher, student, losses.FullTopologyDistillation(), 1.0)
    distiller.compile(keras.optimizers.Adam(0.1))
    history = distiller.fit_retrieval(dataset, epochs=8, batch_size=len(dataset.pairs["train"]), verbose=0).history
    assert history["distillation_loss"][-1] < 0.8 * history["distillation_loss"][0]


def test_a_trained_ranking_model_teaches_through_the_distiller(dataset):
    class Ranker(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.user, self.item = tf_keras.layers.Embedding(USERS, 4), tf_keras.layers.Embedding(ITEMS, 4)
            self.head = tf_keras.Sequential([tf_keras.layers.Dense(8, "relu"), tf_keras.layers.Dense(1)])
            self.task = tfrs.tasks.Ranking(tf_keras.losses.BinaryCrossentropy(from_logits=True))

        def call(self, inputs):
            return self.head(tf.concat([self.user(inputs["user"]), self.item(inputs["item"])], axis=1))

        def compute_loss(self, inputs, training=False):
            return self.task(labels=inputs["label"], predictions=self(inputs))

    user, item = dataset.pairs["train"].T
    label = (user % 2).astype("float32")[:, None]
    teacher = fitted(Ranker(), {"user": user, "item": item, "label": label}, steps=3)
    before = [weight.copy() for weight in teacher.get_weights()]
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item")}
    rows = [keras.layers.Embedding(ITEMS, 2)(tensor) for tensor in inputs.values()]
    student = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(rows)))
    distiller = Distiller(teacher, student, losses.LogitsDistillation(loss="mse"), student_loss_weight=0.5)
    distiller.compile(keras.optimizers.SGD(0.1), keras.losses.BinaryCrossentropy(from_logits=True))
    x = {"user": user, "item": item}
    expected = np.mean((teacher(x).numpy() - student.predict(x, batch_size=1000, verbose=0)) ** 2)
    logs = distiller.train_on_batch(x, label, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-4)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_task_adds_its_weighted_loss_to_that_of_tfrs(dataset):
    batch, teacher = batch_of(dataset), random_vectors(5)
    student = Scores(3, DistillationTask(losses.LogitsDistillation(temperature=2.0), weight=7.0), teacher)
    user, item = student.user_tower(batch["name"]).numpy(), student.item_tower(batch["item"]).numpy()
    scores, teacher_scores = user @ item.T, teacher.user[batch["user"]] @ teacher.item[batch["item"]].T

    def log_softmax(logits):
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    retrieval = -np.trace(log_softmax(scores))
    log_p, log_q = log_softmax(teacher_scores / 2), log_softmax(scores / 2)
    softened = 4 * np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=1))
    student.compile(tf_keras.optimizers.SGD(0.0))
    logs = {name: values[0] for name, values in fit(student, batch).history.items()}
    np.testing.assert_allclose(logs["total_loss"], retrieval + 7 * softened, rtol=1e-5)
    np.testing.assert_allclose(logs["distillation_loss"], softened, rtol=1e-5)


def test_the_student_comes_nearer_to_the_teacher_and_the_teacher_stays(dataset):
    batch, teacher = batch_of(dataset), random_vectors(3)
    kept = teacher.user.copy()
    student = Scores(3, DistillationTask(losses.LogitsDistillation(temperature=1.0), weight=30.0), teacher)
    student.compile(tf_keras.optimizers.Adam(0.05))
    history = fit(student, batch, steps=30, epochs=2).history
    assert history["distillation_loss"][1] < 0.5 * history["distillation_loss"][0]
    np.testing.assert_array_equal(teacher.user, kept)


def test_what_a_loss_learns_is_trained_with_the_model(dataset):
    loss = losses.DistillationExperts(experts=3)
    student = TwoTowers(3, DistillationTask(loss), random_vectors(5))
    student.compile(tf_keras.optimizers.SGD(0.1))
    fit(student, batch_of(dataset))
    before = [np.array(variable) for variable in loss.trainable_variables]
    fit(student, batch_of(dataset))
    assert before and len(student.trainable_variables) == 2 + len(before)
    changed = [not np.array_equal(old, new) for old, new in zip(before, loss.trainable_variables, strict=True)]
    assert np.mean(changed) > 0.8


def test_a_student_is_distilled_pruned_by_tfmot_and_exported(dataset, tmp_path):
    pytest.importorskip("tensorflow_model_optimization")
    from tfdistill.sparsity import ConstantSparsity, UpdatePruningStep, prune_low_magnitude, strip_pruning

    tf_keras.utils.set_random_seed(1)  # weights whose scores are no sums that cancel, which float32 rounds further
    task = DistillationTask(losses.LogitsDistillation(temperature=2.0), weight=10.0)
    names = tf_keras.layers.StringLookup(vocabulary=NAMES, num_oov_indices=0)
    schedule = ConstantSparsity(0.5, 0, frequency=1)
    table = tf_keras.Sequential([tf_keras.Input((), dtype=tf.int64), tf_keras.layers.Embedding(USERS, 4)])
    items = tf_keras.Sequential([tf_keras.Input((), dtype=tf.int32), tf_keras.layers.Embedding(ITEMS, 4)])
    pruned = [prune_low_magnitude(tower, schedule) for tower in (table, items)]
    user_tower = tf_keras.Sequential([names, pruned[0]])
    student = Scores(4, task, random_vectors(6), user_tower, pruned[1])
    student.compile(tf_keras.optimizers.Adam(0.05))
    fit(student, batch_of(dataset, rows=20), steps=5, callbacks=[UpdatePruningStep()])
    table, items = (strip_pruning(tower) for tower in pruned)
    vectors = tower_vectors(lambda name: table(names(name)), items, NAMES, np.arange(ITEMS))
    for side in (vectors.user, vectors.item):
        assert np.mean(side == 0) == 0.5
    scores = vectors.user @ vectors.item.T
    for user, row in enumerate(scores):
        row[dataset.lists("train").of(user)] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    for format in ("saved_model", "tflite_float32"):
        path = export_retrieval(vectors, dataset, tmp_path / format, format, k=5)
        found, found_scores = rank_with_file(path, dataset, 5, ("train",))
        np.testing.assert_allclose(found_scores, np.take_along_axis(scores, expected, 1), rtol=1e-5)


def test_what_is_no_loss_is_refused():
    with pytest.raises(ValueError, match="`loss` must be a loss of tfdistill.losses. Received: loss='mse'"):
        DistillationTask("mse")
    with pytest.raises(ValueError, match="`weight` must be a number of at least 0"):
        DistillationTask(losses.LogitsDistillation(), weight=-1)


@pytest.fixture(scope="module")
def ranker():
    """A functional ranker of tf_keras, pruned by TFMOT and stripped, as a ranking task trains it."""
    pytest.importorskip("tensorflow_model_optimization")
    from tfdistill.sparsity import ConstantSparsity, UpdatePruningStep, prune_low_magnitude, strip_pruning

    inputs = {name: tf_keras.Input((), dtype=tf.int32, name=name) for name in ("user", "item")}
    rows = [tf_keras.layers.Embedding(200, 16, name=f"{name}s")(tensor) for name, tensor in inputs.items()]
    hidden = tf_keras.layers.Dense(64, "relu", name="hidden")(tf_keras.layers.Concatenate()(rows))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1, name="logit")(hidden))
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))

    class Ranking(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.ranker = pruned
            self.task = tfrs.tasks.Ranking(tf_keras.losses.BinaryCrossentropy(from_logits=True))

        def compute_loss(self, inputs, training=False):
            return self.task(labels=inputs.pop("label"), predictions=self.ranker(inputs, training=training))

    model = Ranking()
    model.compile(tf_keras.optimizers.Adam(0.01))
    numbers = np.arange(50, dtype="int32")
    batch = {"user": numbers, "item": numbers[::-1], "label": (numbers % 2).astype("float32")[:, None]}
    fit(model, batch, steps=3, callbacks=[UpdatePruningStep()])
    return strip_pruning(pruned)


@pytest.mark.parametrize("format", ["saved_model", "tflite_float32", "tflite_dynamic_int8"])
def test_a_pruned_tf_keras_ranker_is_exported_with_its_zeros(ranker, tmp_path, format):
    from tfdistill.evaluation import open_artifact
    from tfdistill.export import describe, export_saved_model, export_tflite

    path = tmp_path / format
    if format == "saved_model":
        export_saved_model(ranker, path)
    else:
        export_tflite(ranker, path, format)
    inputs = {"user": np.arange(30, dtype="int32"), "item": np.arange(30, dtype="int32") * 3}
    expected = 1 / (1 + np.exp(-ranker.predict(inputs, verbose=0)[:, 0]))
    found = open_artifact(path).predict(inputs)
    np.testing.assert_allclose(found, expected, atol=0.01 if "int8" in format else 1e-5)
    zeros = {
        layer["name"].split("/")[0]: layer["zeros"] for layer in describe(path)["layers"] if len(layer["shape"]) == 2
    }
    assert min(zeros[name] for name in ("users", "items", "hidden")) >= 0.5
