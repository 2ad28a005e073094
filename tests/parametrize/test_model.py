"""Models with transforms: made, trained, saved, added to, and plain again."""

import keras
import numpy as np
import pytest
from keras import ops

from tfdistill import Distiller, losses
from tfdistill.parametrize import OutputTransform, WeightTransform, parametrize, strip, weights_of


@keras.saving.register_keras_serializable(package="tests")
class Halved(WeightTransform):
    """Half of the weight; counts its steps of training."""

    def build(self, shape):
        self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", trainable=False)

    def call(self, value, training=False):
        if training:
            self.steps.assign_add(1.0)
        return 0.5 * value


@keras.saving.register_keras_serializable(package="tests")
class Doubled(OutputTransform):
    def call(self, output, training=False):
        return 2.0 * output


@keras.saving.register_keras_serializable(package="tests")
class Reader(keras.Model):
    """A subclassed model of layers inside layers."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.embed = keras.layers.Embedding(20, 8)
        self.read = keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))
        self.attend = keras.layers.MultiHeadAttention(2, 4)
        self.score = keras.layers.Dense(1)

    def call(self, ids):
        states = self.read(self.embed(ids))
        return self.score(ops.mean(self.attend(states, states), axis=1))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def kernels(weight):
    return Halved() if weight.is_multiplied else None


def dense(value=2.0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="only")])
    model.set_weights([np.full((1, 1), value, "float32"), np.zeros(1, "float32")])
    return model


IDS = np.random.default_rng(1).integers(0, 20, (16, 5))
TARGETS = np.random.default_rng(2).normal(size=(16, 1)).astype("float32")


def trained(model, epochs=2):
    model.compile("adam", "mse")
    model.fit(IDS, TARGETS, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def test_every_weight_of_a_subclassed_model_is_found_by_its_path():
    keras.backend.clear_session()  # names count from the beginning
    model = Reader()
    model(IDS)
    paths = [weight.path for weight in weights_of(model) if weight.is_multiplied]
    assert [path.split("/", 1)[-1] for path in paths] == [
        *("embeddings", "forward_lstm/lstm_cell/kernel", "forward_lstm/lstm_cell/recurrent_kernel"),
        *("backward_lstm/lstm_cell/kernel", "backward_lstm/lstm_cell/recurrent_kernel"),
        *("query/kernel", "key/kernel", "value/kernel", "attention_output/kernel", "kernel"),
    ]


def test_transforms_of_a_model_that_is_not_built_are_made_when_fit_builds_it():
    model = trained(parametrize(Reader(), kernels))
    assert len(model.weight_transforms) == 10
    assert {float(transform.steps) for transform in model.weight_transforms} == {4.0}


def test_a_stripped_model_is_of_the_original_class_and_leaves_the_trained_one_alone():
    model = trained(parametrize(Reader(), kernels))
    before = model.predict(IDS, verbose=0)
    plain = strip(model)
    assert type(plain) is Reader
    assert len(plain.variables) == len(model.model.variables)
    np.testing.assert_allclose(plain.predict(IDS, verbose=0), before, atol=1e-6)
    np.testing.assert_array_equal(model.predict(IDS, verbose=0), before)


def test_stripped_in_place_the_model_itself_holds_the_values():
    model = dense()
    plain = strip(parametrize(model, kernels), in_place=True)
    assert plain is model
    assert float(model.layers[0].kernel[0, 0]) == 1.0


def test_a_feature_loss_sees_the_outputs_that_the_model_computes_with():
    student = parametrize(dense(), None, lambda model, *call: [(model.layers[0], Doubled())])
    assert float(student(np.ones((1, 1)))[0, 0]) == 4.0
    distiller = Distiller(dense(), student, losses.FeatureDistillation("mse", "only", "only"))
    distiller.compile("sgd", "mse")
    history = distiller.fit(np.ones((1, 1)), np.ones((1, 1)), verbose=0).history
    assert history["distillation_loss"][0] == pytest.approx((2.0 - 4.0) ** 2)


def test_a_model_without_transforms_has_nothing_to_strip():
    with pytest.raises(ValueError, match="no transforms to strip"):
        strip(dense())


def test_patterns_fit_names_paths_and_the_ends_of_paths():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="hidden_1")], name="encoder")
    model = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(2, name="logits")])
    by_path = {weight.path: weight for weight in weights_of(model)}
    kernel = by_path["encoder/hidden_1/kernel"]
    assert all(kernel.matches([pattern]) for pattern in ("hidden_1", "hidden_*", "encoder", "encoder/hidden_1", inner))
    assert not any(kernel.matches([pattern]) for pattern in ("hidden", "logits", "encod", model.layers[1]))
