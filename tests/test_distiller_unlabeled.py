"""Transfer sets: rows without a label teach through the soft loss alone."""

import keras
import numpy as np
import pytest

from tfdistill import Distiller
from tfdistill.losses import LogitsDistillation

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(12, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 12)
LABELED = np.arange(12) % 3 == 0
PARTLY = np.where(LABELED, Y, -1)
WEIGHTS = GENERATOR.uniform(0.5, 2, 12).astype("float32")
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = keras.losses.BinaryCrossentropy(from_logits=True)


def dense(units=3):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])


def one_step(distiller, labels, loss, metrics=None, x=X, sample_weight=None, run_eagerly=True, **arguments):
    distiller.compile(keras.optimizers.SGD(0.0), loss, metrics, run_eagerly=run_eagerly, **arguments)
    return distiller.train_on_batch(x, labels, sample_weight=sample_weight, return_dict=True)


@pytest.mark.parametrize(
    "loss, units, labels, value",
    [
        (SPARSE, 3, PARTLY, -1),
        (SPARSE, 3, PARTLY[:, None], -1),
        (SPARSE, 3, PARTLY.astype("float32"), -1.0),
        (keras.losses.CategoricalCrossentropy(from_logits=True), 3, np.where(LABELED[:, None], np.eye(3)[Y], -1), -1),
        (BINARY, 1, np.where(LABELED, Y > 0, np.nan)[:, None].astype("float32"), float("nan")),
        (BINARY, 1, np.where(LABELED, Y > 0, 255).astype("uint8"), 255),
        ("mse", 1, np.where(LABELED, 0.1, -0.3)[:, None].astype("float32"), -0.3),
    ],
    ids=["sparse", "sparse column", "float", "one-hot", "nan", "uint8", "regression"],
)
def test_the_hard_loss_is_the_mean_over_labelled_rows(loss, units, labels, value):
    distiller = Distiller(dense(units), dense(units), LogitsDistillation(), unlabeled_value=value)
    logs = one_step(distiller, labels, loss)
    distiller.unlabeled_value = None
    alone = one_step(distiller, labels[LABELED], loss, x=X[LABELED])
    np.testing.assert_allclose(logs["student_loss"], alone["student_loss"], rtol=1e-5)


def test_the_soft_loss_is_the_mean_over_all_rows():
    distiller = Distiller(dense(), dense(), LogitsDistillation(), unlabeled_value=-1)
    logs = one_step(distiller, PARTLY, SPARSE)
    np.testing.assert_allclose(
        logs["distillation_loss"], one_step(distiller, Y, SPARSE)["distillation_loss"], rtol=1e-5
    )


def test_sample_weights_of_labelled_rows_are_divided_by_their_number():
    distiller = Distiller(dense(), dense(), LogitsDistillation(), unlabeled_value=-1)
    logs = one_step(distiller, PARTLY, SPARSE, sample_weight=WEIGHTS)
    alone = one_step(distiller, PARTLY[LABELED], SPARSE, x=X[LABELED], sample_weight=WEIGHTS[LABELED])
    np.testing.assert_allclose(logs["student_loss"], alone["student_loss"], rtol=1e-5)


def test_class_weights_apply_to_labelled_rows():
    distiller = Distiller(dense(), dense(), LogitsDistillation(), unlabeled_value=-1)
    distiller.compile(keras.optimizers.SGD(0.0), SPARSE, run_eagerly=True)
    weights = {0: 1.0, 1: 2.0, 2: 5.0}
    logs = distiller.train_on_batch(X, PARTLY, class_weight=weights, return_dict=True)
    by_row = np.array([weights[label] for label in Y[LABELED]])
    alone = one_step(distiller, PARTLY[LABELED], SPARSE, x=X[LABELED], sample_weight=by_row)
    np.testing.assert_allclose(logs["student_loss"], alone["student_loss"], rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_metrics_see_labelled_rows_alone(jit_compile):
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]
    weighted = [keras.metrics.SparseCategoricalCrossentropy("crossentropy", from_logits=True)]
    distiller = Distiller(dense(), dense(), LogitsDistillation(), unlabeled_value=-1)
    arguments = {"metrics": metrics, "weighted_metrics": weighted}
    mode = {"jit_compile": jit_compile, "run_eagerly": False}
    logs = one_step(distiller, PARTLY, SPARSE, sample_weight=WEIGHTS, **arguments, **mode)
    alone = one_step(distiller, PARTLY[LABELED], SPARSE, x=X[LABELED], sample_weight=WEIGHTS[LABELED], **arguments)
    for name in ("accuracy", "top2", "crossentropy", "student_loss"):
        np.testing.assert_allclose(logs[name], alone[name], rtol=1e-5)


def test_a_batch_without_labels_has_no_hard_loss_and_a_sound_gradient():
    student = dense()
    distiller = Distiller(dense(), student, LogitsDistillation(), unlabeled_value=-1)
    distiller.compile(keras.optimizers.SGD(0.1), SPARSE, ["accuracy"], run_eagerly=True)
    logs = distiller.train_on_batch(X, np.full(12, -1), return_dict=True)
    assert logs["student_loss"] == 0.0 and logs["accuracy"] == 0.0 and logs["distillation_loss"] > 0.0
    assert all(np.isfinite(w).all() for w in student.get_weights())


def test_epoch_means_weigh_batches_by_their_labelled_rows():
    order = np.argsort(~LABELED)  # the first batch is labelled, the second in part, the third not at all
    x, y = X[order], PARTLY[order]
    distiller = Distiller(dense(), dense(), LogitsDistillation(), unlabeled_value=-1)
    distiller.compile(keras.optimizers.SGD(0.0), SPARSE, ["accuracy"])
    history = distiller.fit(x, y, batch_size=3, shuffle=False, verbose=0, validation_data=(x, y)).history
    alone = one_step(distiller, PARTLY[LABELED], SPARSE, ["accuracy"], x=X[LABELED])
    for name in ("student_loss", "accuracy"):
        np.testing.assert_allclose(history[name], alone[name], rtol=1e-5)
        np.testing.assert_allclose(history[f"val_{name}"], alone[name], rtol=1e-5)


def test_several_outputs_may_lack_different_labels():
    def two_headed():
        inputs = keras.Input((4,))
        return keras.Model(inputs, [keras.layers.Dense(1, name="a")(inputs), keras.layers.Dense(3, name="b")(inputs)])

    first = np.arange(12) < 4
    labels = [np.where(first, Y > 0, -1)[:, None].astype("float32"), PARTLY]
    student = two_headed()
    distiller = Distiller(two_headed(), student, LogitsDistillation(), unlabeled_value=-1)
    logs = one_step(distiller, labels, [BINARY, SPARSE], [["mse"], ["accuracy"]], sample_weight=WEIGHTS)
    a, b = student.predict(X, verbose=0)
    expected = BINARY(labels[0][first], a[first], WEIGHTS[first]) + SPARSE(Y[LABELED], b[LABELED], WEIGHTS[LABELED])
    np.testing.assert_allclose(logs["student_loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(logs["a_mse"], np.mean((labels[0][first] - a[first]) ** 2), rtol=1e-5)
    np.testing.assert_allclose(logs["b_accuracy"], np.mean(b[LABELED].argmax(1) == Y[LABELED]), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", None])
def test_a_hard_loss_that_does_not_average_is_refused(reduction):
    distiller = Distiller(dense(), dense(), LogitsDistillation(), unlabeled_value=-1)
    with pytest.raises(ValueError, match="averages over the batch"):
        distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(reduction=reduction))
