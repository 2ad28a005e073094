"""What holds for every form of teacher: the same weights teach the same, and are never touched."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation
from tfdistill.teachers import CachedTeacher, Ensemble, as_teacher, call_teacher, check_teacher_outputs, load_teacher

pytest.importorskip("tf_keras")  # the rankers are made in both Kerases


def tfrs_model(rankers):
    import tensorflow_recommenders as tfrs

    class Ranking(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.ranker = rankers.legacy
            self.task = tfrs.tasks.Ranking()

        def call(self, inputs, training=False):
            return self.ranker({"user": inputs["user"], "age": inputs["age"]}, training=training)

        def compute_loss(self, inputs, training=False):
            return self.task(inputs["label"], self(inputs, training=training))

    return Ranking()


FORMS = {
    "a Keras 3 model": lambda r: r.model,
    "its .keras file": lambda r: r.folder / "ranker.keras",
    "its .h5 file": lambda r: str(r.folder / "ranker.h5"),
    "its SavedModel": lambda r: r.folder / "ranker",
    "a signature of its SavedModel": lambda r: load_teacher(r.folder / "ranker", signature="serve"),
    "a callable": lambda r: lambda inputs: r.model({"user": inputs["user"], "age": inputs["age"]}),
    "a callable that takes training": lambda r: (
        lambda inputs, training=True: r.model({"user": inputs["user"], "age": inputs["age"]}, training=training)
    ),
    "a list of one": lambda r: [r.model],
    "a list of all kinds": lambda r: [r.model, r.legacy, r.folder / "ranker", CachedTeacher()],
    "an ensemble": lambda r: Ensemble([r.model, r.legacy], weights="entropy"),
    "one drawn at random": lambda r: Ensemble([r.model, r.legacy, r.folder / "ranker.keras"], "random"),
    "cached logits": lambda r: CachedTeacher(),
    "a tf_keras model": lambda r: r.legacy,
    "a .keras file of tf_keras": lambda r: r.folder / "legacy.keras",
    "a .h5 file of tf_keras": lambda r: r.folder / "legacy.h5",
    "a TFRS model": tfrs_model,
}
WITH_LAYERS = {
    "a Keras 3 model": "hidden",
    "its .keras file": "hidden",
    "its .h5 file": "hidden",
    "a list of one": "0/hidden",
    "a list of all kinds": "1/hidden",
    "an ensemble": "1/hidden",
    "one drawn at random": "2/hidden",
    "a tf_keras model": "hidden",
    "a .keras file of tf_keras": "hidden",
    "a .h5 file of tf_keras": "hidden",
    "a TFRS model": "hidden",
}


@pytest.fixture
def make(rankers):
    """Returns a function: the teacher of a form."""

    def teacher(form):
        if "TFRS" in form:
            pytest.importorskip("tensorflow_recommenders")
        return as_teacher(FORMS[form](rankers))

    return teacher


@pytest.fixture
def batch(rankers):
    return {**rankers.inputs, "teacher_logits": rankers.logits}


@pytest.fixture(scope="module")
def expected(rankers):
    """The losses of three epochs on the logits as they are."""
    distiller = made(CachedTeacher())
    distiller.compile(keras.optimizers.SGD(0.1))
    return fitted(distiller, {**rankers.inputs, "teacher_logits": rankers.logits})


def student():
    """Reads the age alone, from weights that are always the same."""
    age = keras.Input((1,), name="age")
    hidden = keras.layers.Dense(6, kernel_initializer="ones", name="small")(age)
    return keras.Model({"age": age}, keras.layers.Dense(1, kernel_initializer="ones")(hidden))


def made(teacher, losses=None):
    losses = losses or LogitsDistillation(2.0)
    return Distiller(teacher, student(), losses, student_loss_weight=0.0, evaluate_distillation=True)


def fitted(distiller, batch):
    return distiller.fit(batch, batch_size=8, shuffle=False, epochs=3, verbose=0).history["distillation_loss"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_predicts_and_teaches_the_same_when_run_eagerly(form, make, batch, rankers, expected):
    teacher = make(form)
    tensors = {name: tf.convert_to_tensor(values) for name, values in batch.items()}
    np.testing.assert_allclose(call_teacher(teacher, tensors), rankers.logits, atol=1e-5)
    check_teacher_outputs(teacher, batch, units=1)
    distiller = made(teacher)
    distiller.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    np.testing.assert_allclose(fitted(distiller, batch), expected, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_teaches_the_same_and_is_neither_changed_nor_counted(form, make, batch, rankers, expected):
    teacher, before = make(form), [rankers.model.get_weights(), rankers.legacy.get_weights()]
    distiller = made(teacher)
    distiller.compile(keras.optimizers.SGD(0.1))
    np.testing.assert_allclose(fitted(distiller, batch), expected, rtol=1e-5)
    for old, model in zip(before, (rankers.model, rankers.legacy), strict=True):
        for one, other in zip(old, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    tensors = {name: tf.convert_to_tensor(values) for name, values in batch.items()}
    np.testing.assert_allclose(call_teacher(teacher, tensors), rankers.logits, atol=1e-5)
    assert {id(weight) for weight in distiller.weights} == {id(weight) for weight in distiller.student.weights}


@pytest.mark.parametrize("form", ["a tf_keras model", "a list of all kinds", "one drawn at random", "a TFRS model"])
def test_no_teacher_is_saved(form, make, batch, tmp_path):
    distiller = made(make(form))
    distiller.compile(keras.optimizers.SGD(0.1))
    distiller.train_on_batch(batch)
    distiller.save(tmp_path / "distiller.keras")
    again = keras.saving.load_model(tmp_path / "distiller.keras")
    assert again.teacher is None and again.count_params() == distiller.student.count_params()


@pytest.mark.parametrize("form", WITH_LAYERS)
def test_every_form_with_layers_teaches_by_them(form, make, batch, rankers):
    distiller = made(make(form), FeatureDistillation("mse", WITH_LAYERS[form], "small"))
    distiller.compile()
    logs = distiller.test_on_batch(batch, return_dict=True)
    expected = np.mean((rankers.hidden - np.repeat(batch["age"], 6, 1)) ** 2)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-4)


def test_the_first_loss_is_the_one_in_the_books(batch, rankers):
    distiller = made(CachedTeacher())
    distiller.compile()
    p, q = (1 / (1 + np.exp(-logits / 2)) for logits in (rankers.logits, 6 * batch["age"]))
    expected = 4 * np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    logs = distiller.test_on_batch(batch, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-4)
