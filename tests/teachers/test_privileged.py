"""A teacher that sees features which the student will not have when it serves."""

import keras
import numpy as np
import pytest

from tfdistill import Distiller
from tfdistill.losses import LogitsDistillation
from tfdistill.teachers import Ensemble

GENERATOR = np.random.default_rng(0)
BATCH = {name: GENERATOR.normal(size=(16, 1)).astype("float32") for name in ("age", "dwell_time")}


def functional(*names):
    inputs = {name: keras.Input((1,), name=name) for name in names}
    total = keras.layers.Concatenate()(list(inputs.values())) if len(inputs) > 1 else inputs[names[0]]
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(total))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, inputs):
        return self.dense(inputs["age"])


@pytest.mark.parametrize("student", [lambda: functional("age"), Subclassed], ids=["functional", "subclassed"])
@pytest.mark.parametrize(
    "teacher",
    [
        lambda: functional("age", "dwell_time"),
        lambda: lambda inputs: inputs["age"] + inputs["dwell_time"],
        lambda: Ensemble([functional("age", "dwell_time"), lambda inputs: inputs["age"] + inputs["dwell_time"]]),
    ],
    ids=["functional", "callable", "ensemble"],
)
def test_the_student_learns_from_a_feature_that_it_does_not_read(student, teacher):
    student = student()
    distiller = Distiller(teacher(), student, LogitsDistillation(loss="mse"), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0))
    logs = distiller.train_on_batch(BATCH, return_dict=True)
    predictions = student.predict({"age": BATCH["age"]}, verbose=0)
    expected = np.mean((BATCH["age"] + BATCH["dwell_time"] - predictions) ** 2)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("student", [lambda: functional("age"), Subclassed], ids=["functional", "subclassed"])
def test_the_student_serves_without_the_feature(student, tmp_path):
    student = student()
    distiller = Distiller(functional("age", "dwell_time"), student, LogitsDistillation(), student_loss_weight=0.5)
    distiller.compile("sgd", "mse")
    distiller.fit(BATCH, BATCH["age"], verbose=0)
    alone = {"age": BATCH["age"]}
    np.testing.assert_allclose(distiller.predict(alone, verbose=0), distiller.predict(BATCH, verbose=0), rtol=1e-6)
    assert np.isfinite(distiller.evaluate(alone, BATCH["age"], verbose=0)).all()
    student.export(tmp_path / "student", verbose=False)
    if getattr(student, "inputs", None):
        assert [tensor.name for tensor in student.inputs] == ["age"]


def test_a_batch_without_the_feature_is_told_in_training():
    distiller = Distiller(functional("age", "dwell_time"), functional("age"), LogitsDistillation())
    distiller.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"misses the inputs \['dwell_time'\]. The batch has: \['age'\]"):
        distiller.train_on_batch({"age": BATCH["age"]}, BATCH["age"])
