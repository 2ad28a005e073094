"""Losses between hidden layers: one forward pass, right layers, right values."""

import keras
import numpy as np
import pytest

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(12, 4)).astype("float32")
Y = GENERATOR.integers(0, 2, 12)
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Counter(keras.layers.Layer):
    """Passes its inputs on and counts its calls, where calls are eager."""

    calls = 0

    def call(self, inputs, training=None):
        Counter.calls += 1
        return inputs


def model(width=8, count=False):
    layers = [keras.layers.Dense(width, "relu", name="hidden"), keras.layers.Dense(2, name="out")]
    return keras.Sequential([keras.Input((4,)), *([Counter()] if count else []), *layers])


def test_the_feature_loss_compares_the_named_layers():
    teacher, student = model(), model()
    distiller = Distiller(teacher, student, FeatureDistillation("mse", "hidden", "hidden"))
    distiller.compile(keras.optimizers.SGD(0.0), HARD, run_eagerly=True)
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    hidden = [np.maximum(X @ m.get_weights()[0] + m.get_weights()[1], 0) for m in (teacher, student)]
    np.testing.assert_allclose(logs["distillation_loss"], np.mean((hidden[0] - hidden[1]) ** 2), rtol=1e-5)


def test_either_layer_may_be_the_output():
    teacher, student = model(width=2), model()
    distiller = Distiller(teacher, student, FeatureDistillation("mse", teacher_layer_name="hidden"))
    distiller.compile(keras.optimizers.SGD(0.0), HARD, run_eagerly=True)
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    hidden = np.maximum(X @ teacher.get_weights()[0] + teacher.get_weights()[1], 0)
    expected = np.mean((hidden - student.predict(X, verbose=0)) ** 2)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


def test_sample_weights_count_in_feature_losses():
    distiller = Distiller(model(), model(), FeatureDistillation("mse", "hidden", "hidden"))
    distiller.compile(keras.optimizers.SGD(0.0), HARD, run_eagerly=True)
    plain = distiller.train_on_batch(X, Y, return_dict=True)["distillation_loss"]
    doubled = distiller.train_on_batch(X, Y, sample_weight=np.full(12, 2.0), return_dict=True)["distillation_loss"]
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-5)


def test_the_student_runs_once_a_step_and_once_an_evaluation():
    losses = [LogitsDistillation(), FeatureDistillation("mse", "hidden", "hidden"), FeatureDistillation("mse", "out")]
    distiller = Distiller(model(), model(count=True), losses)
    distiller.compile("sgd", HARD, run_eagerly=True)
    for step in (distiller.train_on_batch, distiller.test_on_batch):
        Counter.calls = 0
        step(X, Y)
        assert Counter.calls == 1


def test_the_teacher_runs_once_a_step_for_all_losses():
    losses = [LogitsDistillation(), FeatureDistillation("mse", "hidden", "hidden"), FeatureDistillation("mse", "out")]
    distiller = Distiller(model(count=True), model(), losses)
    distiller.compile("sgd", HARD, run_eagerly=True)
    Counter.calls = 0
    distiller.train_on_batch(X, Y)
    assert Counter.calls == 1


def test_dropout_in_features_and_prediction_is_the_same():
    # The prediction is the feature, so only one forward pass can make their losses equal.
    inputs = keras.Input((4,))
    outputs = keras.layers.Identity(name="same")(keras.layers.Dropout(0.5)(keras.layers.Dense(2)(inputs)))
    student = keras.Model(inputs, outputs)
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    losses = [FeatureDistillation("mse", "out", "same"), FeatureDistillation("mse")]
    distiller = Distiller(teacher, student, losses, [1.0, -1.0], student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    assert distiller.train_on_batch(X, Y, return_dict=True)["distillation_loss"] == 0.0


def test_a_nested_model_can_be_the_named_layer():
    inputs = keras.Input((4,))
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)], name="backbone")
    student = keras.Model(inputs, keras.layers.Dense(2)(backbone(keras.layers.Dense(4)(inputs))))
    distiller = Distiller(model(), student, FeatureDistillation("mse", "hidden", "backbone"))
    distiller.compile(keras.optimizers.Adam(0.01), HARD)
    losses = distiller.fit(X, Y, epochs=20, verbose=0).history["distillation_loss"]
    assert losses[-1] < losses[0]


def test_models_with_dict_inputs_yield_features_too():
    def named(*names):
        inputs = {name: keras.Input((1,), name=name) for name in names}
        hidden = keras.layers.Dense(8, name="hidden")(keras.layers.Concatenate()(list(inputs.values()) * 2))
        return keras.Model(inputs, keras.layers.Dense(2)(hidden))

    distiller = Distiller(named("a", "b"), named("a"), FeatureDistillation("mse", "hidden", "hidden"))
    distiller.compile("sgd", HARD, run_eagerly=True)
    assert np.isfinite(distiller.train_on_batch({"a": X[:, :1], "b": X[:, 1:2]}, Y)).all()


def test_features_add_no_weights():
    distiller = Distiller(model(), model(), FeatureDistillation("mse", "hidden", "hidden"))
    assert len(distiller.weights) == 4
    assert distiller.count_params() == distiller.student.count_params()


def test_wrong_names_and_callables_without_layers_are_refused_at_once():
    with pytest.raises(ValueError, match="In student model: no layer named 'hiden'. The nearest: 'hidden'"):
        Distiller(model(), model(), FeatureDistillation("mse", "hidden", "hiden"))
    with pytest.raises(ValueError, match="In teacher model: no layer named 'Hidden'"):
        Distiller(model(), model(), FeatureDistillation("mse", "Hidden", "hidden"))
    with pytest.raises(ValueError, match="In teacher model"):
        Distiller(lambda x: x, model(), FeatureDistillation("mse", "hidden", "hidden"))
    with pytest.raises(ValueError, match=r"teacher \(None, 8\), student \(None, 5\)"):
        Distiller(model(8), model(5), FeatureDistillation("mse", "hidden", "hidden"))
