"""A model under transforms that change nothing is the plain model: values, gradients, statistics, seeds, losses, dtypes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from tfdistill.parametrize import OutputTransform, WeightTransform, assign, parametrize, strip, weights_of

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")


@keras.saving.register_keras_serializable(package="test_parametrize_scope")
class Same(WeightTransform):
    def call(self, value, training=False):
        return value


@keras.saving.register_keras_serializable(package="test_parametrize_scope")
class Scaled(WeightTransform):
    """w * factor, with a count of the steps."""

    def __init__(self, factor=0.5, order=0, writes_back=False, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.order, self.writes_back = factor, order, writes_back

    def build(self, shape):
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)

    def call(self, value, training=False):
        if training:
            assign(self.step, self.step.value + 1)
        return value * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "order": self.order, "writes_back": self.writes_back}


class Plus(WeightTransform):
    order = 1

    def call(self, value, training=False):
        return value + 1.0


def everywhere(weight):
    return Same() if weight.is_multiplied else None


def rich():
    """Statistics, seeds and every kind of loss."""
    inputs = keras.Input((8,))
    hidden = layers.Dense(6, "relu", kernel_regularizer="l2", name="hidden")(inputs)
    hidden = layers.BatchNormalization(momentum=0.5, name="normalization")(hidden)
    hidden = layers.Dropout(0.5, seed=3)(layers.ActivityRegularization(l2=0.1)(hidden))
    return keras.Model(inputs, layers.Dense(2, activity_regularizer="l2", name="head")(hidden))


def trained(model, wrap, jit_compile=False, epochs=3):
    keras.utils.set_random_seed(7)
    wrapped = wrap(model)
    wrapped.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=jit_compile)
    return wrapped.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_statistics_seeds_regularisers_and_losses_are_those_of_the_plain_model(jit_compile):
    plain = rich()
    twin = keras.models.clone_model(plain)
    twin.set_weights(plain.get_weights())
    expected = trained(plain, lambda model: model, jit_compile)
    loss = trained(twin, lambda model: parametrize(model, everywhere), jit_compile)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for ours, other in zip(twin.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-6, err_msg=ours.path)
    assert np.all(plain.get_layer("normalization").moving_mean.numpy() != 0)


def test_losses_of_a_call_are_collected_once():
    model = rich()
    wrapped = parametrize(model, everywhere)
    wrapped(X, training=True)
    ours = [float(loss) for loss in wrapped.losses]
    assert len(ours) == 3  # the kernel, the activities of two layers


def test_a_regulariser_sees_the_variable_itself():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(2, kernel_regularizer=keras.regularizers.L2(1.0))])
    model.layers[0].kernel.assign(np.ones((8, 2)))
    wrapped = parametrize(model, lambda weight: Scaled(0.5) if weight.is_multiplied else None)
    wrapped(X, training=True)
    assert float(sum(wrapped.losses)) == 16.0


def test_gradients_go_through_the_transform_unless_it_writes_back():
    gradients = []
    for writes_back in (False, True):
        model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
        wrapped = parametrize(
            model, lambda weight, back=writes_back: Scaled(0.25, writes_back=back) if weight.is_multiplied else None
        )
        with tf.GradientTape() as tape:
            output = ops.sum(wrapped(np.ones((1, 1)), training=True))
        gradients.append(float(tape.gradient(output, model.layers[0].kernel.value)[0, 0]))
        assert float(output) == 0.25
        assert float(model.layers[0].kernel[0, 0]) == (0.25 if writes_back else 1.0)
    assert gradients == [0.25, 1.0]


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_a_dtype_policy_holds_inside_and_weights_are_read_as_they_are(dtype):
    seen = []

    class Seeing(Same):
        def call(self, value, training=False):
            seen.append(value.dtype.name)
            return value

    keras.config.set_dtype_policy(dtype)
    try:
        model = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
        wrapped = parametrize(model, lambda weight: Seeing() if weight.is_multiplied else None)
        output = wrapped(X)
        assert wrapped.dtype_policy.name == dtype
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(output, model(X))
    assert output.dtype == model.compute_dtype
    assert set(seen) == {model.variable_dtype}


def test_transforms_take_effect_by_their_order_however_they_were_added():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])

    def added(make):
        return lambda weight: make() if weight.is_multiplied else None

    first = parametrize(parametrize(model, added(lambda: Scaled(0.5))), added(Plus))
    last = parametrize(parametrize(model, added(Plus)), added(lambda: Scaled(0.5)))
    assert float(first(np.ones((1, 1)))[0, 0]) == float(last(np.ones((1, 1)))[0, 0]) == 1.5  # not (1 + 1) / 2
    assert last.model is first.model is model


def test_transforms_of_a_class_move_on_together_once_a_step():
    heard = []

    class Together(Same):
        @classmethod
        def advance(cls, transforms, values):
            heard.append([tuple(value.shape) for value in values])

    model = keras.Sequential([keras.Input((8,)), layers.Dense(3), layers.Dense(2)])
    wrapped = parametrize(model, lambda weight: Together() if weight.is_multiplied else None)
    wrapped(X)
    assert heard == []
    wrapped(X, training=True)
    assert heard == [[(8, 3), (3, 2)]]


class Doubled(OutputTransform):
    def call(self, output, training=False):
        return output * 2.0


def test_outputs_are_replaced_within_the_scope_alone():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3, name="hidden"), layers.Dense(2, use_bias=False)])
    wrapped = parametrize(model, None, lambda model, *call: [(model.get_layer("hidden"), Doubled())])
    plain = model(X)
    np.testing.assert_allclose(wrapped(X), 2 * plain, rtol=1e-5)
    np.testing.assert_array_equal(model(X), plain)


@keras.saving.register_keras_serializable(package="test_parametrize_scope")
class Subclassed(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = keras.Sequential([layers.Dense(units, name="dense")], name="inner")
        self.normalization = layers.BatchNormalization(name="normalization")
        self.head = layers.Dense(2, name="head")

    def call(self, inputs, training=False):
        return self.head(self.normalization(self.inner(inputs), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def halved(weight):
    return Scaled(0.5) if weight.is_multiplied else None


def nested():
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="dense")], name="inner")
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(2, name="dense")(layers.BatchNormalization()(inner(inputs))))


@pytest.mark.parametrize(
    "make", [Subclassed, nested, rich, lambda: keras.Sequential([layers.Dense(3), layers.Dense(2)])]
)
def test_models_of_every_kind_are_trained_saved_resumed_and_stripped(make, tmp_path):
    model = make()
    wrapped = parametrize(model, halved)
    wrapped.compile(keras.optimizers.Adam(0.01), "mse")
    wrapped.fit(X, Y, batch_size=8, verbose=0)
    assert [int(transform.step.numpy()) for transform in wrapped.weight_transforms] == [2, 2]
    expected = wrapped.predict(X, verbose=0)
    wrapped.save(tmp_path / "wrapped.keras")
    loaded = keras.saving.load_model(tmp_path / "wrapped.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    for one in (wrapped, loaded):
        keras.utils.set_random_seed(0)
        one.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    for ours, other in zip(wrapped.weight_transforms, loaded.weight_transforms, strict=True):
        assert int(ours.step.numpy()) == int(other.step.numpy()) == 4
    kernels = [weight.variable.numpy() for weight in weights_of(model) if weight.is_multiplied]
    expected = wrapped.predict(X, verbose=0)
    stripped = strip(wrapped)
    assert type(stripped) is type(model)
    np.testing.assert_allclose(stripped.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    for weight, kernel in zip((one for one in weights_of(stripped) if one.is_multiplied), kernels, strict=True):
        np.testing.assert_array_equal(weight.variable, 0.5 * kernel)


def test_layers_wrapped_alone_serve_within_models_and_are_stripped_there():
    inputs = keras.Input((8,))
    hidden = parametrize(layers.Dense(4, name="hidden"), halved)(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="head")(hidden))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    stripped = strip(model)
    assert [type(layer).__name__ for layer in stripped.layers] == ["InputLayer", "Dense", "Dense"]
    np.testing.assert_allclose(stripped.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-5)


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="`model` must be a Keras 3 model or layer. Received: 'model' of type str"):
        parametrize("model")
    with pytest.raises(ValueError, match="`model` has no transforms to strip"):
        strip(rich())
