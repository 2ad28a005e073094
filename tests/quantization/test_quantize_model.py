import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfdistill
from tests.quantization.models import Subclassed
from tfdistill import losses
from tfdistill.quantization import (
    QuantizeScheme,
    is_quantized,
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
    strip_quantization,
)

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(64, 4)).astype(np.float32), RANDOM.normal(size=(64, 1)).astype(np.float32)
IDS = RANDOM.integers(0, 20, (32, 6))


def dense_model():
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(8, "relu", name="hidden_1"), layers.Dense(8, "relu", name="hidden_2")]
    return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1, name="logits")], name="dense")


def trained(model, jit_compile=False, epochs=3, x=X, y=Y, **settings):
    quantized = quantize_model(model, **settings)
    quantized.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=jit_compile)
    quantized.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return quantized


def chosen(quantized):
    return [weight.path for weight, _ in quantized.transformed()]


def test_the_model_computes_with_rounded_weights_and_activations():
    model = dense_model()
    quantized = trained(model, epochs=1)
    x = X
    (low, high), ranges = quantized.output_transforms[0].range, [one.range for one in quantized.output_transforms]
    fake = tf.quantization.fake_quant_with_min_max_vars
    x = fake(x, low, high)
    for layer, (low, high) in zip(model.layers, ranges[1:], strict=True):
        kernel = layer.kernel.numpy()
        scale = np.abs(kernel).max(0) / 127
        x = layer.activation(x @ (np.floor(kernel / scale + 0.5) * scale).astype(np.float32) + layer.bias.numpy())
        x = fake(x, low, high)
    np.testing.assert_allclose(quantized(X), x, atol=1e-4)


def test_xla_and_eager_train_alike():
    predictions = []
    for settings in ({"jit_compile": True}, {"jit_compile": False}):
        predictions.append(trained(dense_model(), **settings).predict(X, verbose=0))
    np.testing.assert_allclose(predictions[0], predictions[1], atol=0.02)
    quantized = quantize_model(dense_model())
    quantized.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=True)
    quantized.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(predictions[0], quantized.predict(X, verbose=0), atol=0.02)


def test_training_lowers_the_loss_of_a_model_with_few_bits():
    for scheme in (QuantizeScheme(weight_bits=3), QuantizeScheme(weight_bits=2, ranges="learned")):
        quantized = quantize_model(dense_model(), scheme)
        quantized.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=True)
        history = quantized.fit(X, X[:, :1] * X[:, 1:2], batch_size=16, epochs=60, verbose=0).history["loss"]
        assert history[-1] < 0.5 * history[0]


def test_batch_normalisations_statistics_and_regularisers_work_inside():
    dense = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(1.0))
    model = keras.Sequential([keras.Input((4,)), dense, layers.BatchNormalization(name="norm"), layers.Dense(1)])
    quantized = trained(model, epochs=1)
    assert np.abs(model.get_layer("norm").moving_mean.numpy()).max() > 0
    assert len(quantized.losses) == 1 and float(quantized.losses[0]) > 0


def test_only_the_layers_named_are_quantised():
    assert chosen(quantize_model(dense_model(), layers=["hidden_*"])) == ["hidden_1/kernel", "hidden_2/kernel"]
    assert chosen(quantize_model(dense_model(), layers="logits")) == ["logits/kernel"]
    model = dense_model()
    quantized = quantize_model(model, layers=[model.layers[1]])
    assert chosen(quantized) == ["hidden_2/kernel"]
    # Nothing before it is rounded, so its input is.
    where = [(layer.name, transform.where) for layer, transform in quantized.transformed_outputs()]
    assert where == [("hidden_2", "input:0"), ("hidden_2", "output")]


def test_overrides_give_layers_a_scheme_of_their_own_or_none():
    scheme = QuantizeScheme(overrides={"hidden_1": QuantizeScheme(weight_bits=4), "logits": None})
    quantized = quantize_model(dense_model(), scheme)
    bits = {weight.path: transforms[0].bits for weight, transforms in quantized.transformed()}
    assert bits == {"hidden_1/kernel": 4, "hidden_2/kernel": 8}
    assert "logits" not in {layer.name for layer, _ in quantized.transformed_outputs()}


def test_weights_alone_or_activations_alone():
    quantized = quantize_model(dense_model(), QuantizeScheme(activation_bits=None))
    assert len(quantized.weight_transforms) == 3 and not quantized.output_transforms
    quantized = quantize_model(dense_model(), QuantizeScheme(weight_bits=None))
    assert not quantized.weight_transforms and len(quantized.output_transforms) == 4


def test_layers_are_annotated_then_applied():
    scheme = QuantizeScheme(weight_bits=4)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            quantize_annotate_layer(layers.Dense(3, name="a"), scheme),
            quantize_annotate_layer(layers.Dense(3, name="b")),
            layers.Dense(1, name="c"),
        ]
    )
    with quantize_scope():
        quantized = quantize_apply(model)
    bits = {weight.path: transforms[0].bits for weight, transforms in quantized.transformed()}
    assert bits == {"a/kernel": 4, "b/kernel": 8}
    assert len(chosen(quantize_apply(quantize_annotate_model(dense_model())))) == 3


def test_a_clone_may_annotate_as_in_tfmots_guide():
    def annotate(layer):
        return quantize_annotate_layer(layer) if layer.name == "hidden_1" else layer

    assert chosen(quantize_apply(keras.models.clone_model(dense_model(), clone_function=annotate))) == [
        "hidden_1/kernel"
    ]


def test_a_layer_is_returned_wrapped_and_a_list_as_a_list():
    wrapped = quantize_model(layers.Dense(3, name="inner"))
    model = keras.Sequential([keras.Input((4,)), wrapped, layers.Dense(1)])
    assert is_quantized(model) and chosen(wrapped) == ["kernel"]
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    plain = strip_quantization(model)
    assert not is_quantized(plain) and [type(layer).__name__ for layer in plain.layers] == ["Dense", "Dense"]
    assert len(quantize_model([layers.Dense(2), layers.Dense(3)])) == 2


@pytest.mark.parametrize("make", (dense_model, Subclassed))
def test_a_saved_model_goes_on_where_it_stopped(make, tmp_path):
    x, y = (IDS, RANDOM.normal(size=(32, 1))) if make is Subclassed else (X, Y)
    scheme = QuantizeScheme(ranges="ema", delay_steps=2)
    quantized = trained(make(), x=x, y=y, epochs=1, scheme=scheme)
    quantized.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), quantized.predict(x, verbose=0), atol=1e-6)
    for model in (quantized, loaded):
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), quantized.predict(x, verbose=0), atol=1e-5)


def test_stripping_gives_the_original_class_with_weights_on_their_grids():
    quantized = trained(dense_model(), scheme=QuantizeScheme(weight_bits=3))
    plain = strip_quantization(quantized)
    assert type(plain) is keras.Sequential and not is_quantized(plain)
    for layer, inner in zip(plain.layers, quantized.model.layers, strict=True):
        kernel = layer.kernel.numpy()
        steps = kernel / (np.abs(kernel).max(0) / 3)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
        np.testing.assert_array_equal(layer.bias.numpy(), inner.bias.numpy())
    in_float = QuantizeScheme(weight_bits=3, activation_bits=None)
    quantized = trained(dense_model(), scheme=in_float)
    np.testing.assert_allclose(strip_quantization(quantized)(X), quantized(X), atol=1e-6)


def test_it_trains_under_a_teacher():
    teacher, student = dense_model(), dense_model()
    quantized = quantize_model(student)
    distiller = tfdistill.Distiller(teacher, quantized, losses.HintDistillation("hidden_1", "hidden_1"))
    distiller.compile(keras.optimizers.SGD(0.05), "mse")
    distiller.fit(X, Y, batch_size=16, verbose=0)
    assert not any(transform.is_waiting for transform in quantized.output_transforms)


def test_a_custom_loop_trains_it():
    quantized, optimizer = quantize_model(dense_model()), keras.optimizers.SGD(0.05)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((quantized(X, training=True) - Y) ** 2)
        optimizer.apply(tape.gradient(loss, quantized.trainable_variables), quantized.trainable_variables)
        return loss

    first = float(step())
    assert [float(step()) for _ in range(20)][-1] < first


def test_a_dict_of_inputs_has_a_range_for_each_number():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    joined = layers.Concatenate(name="joined")([layers.Dense(2)(inputs["a"]), layers.Dense(2)(inputs["b"])])
    quantized = quantize_model(keras.Model(inputs, layers.Dense(1)(joined)))
    quantized({"a": np.ones((2, 2)), "b": -np.ones((2, 2))}, training=True)
    found = {one.where: one.range for one in quantized.output_transforms if one.where.startswith("input")}
    assert found == {"input:0/a": (0, 1), "input:0/b": (-1, 0)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize_model("model"), "`to_quantize` must be a Keras 3 model"),
        (lambda: quantize_model(dense_model(), scheme="int8"), "`scheme` must be a tfdistill"),
        (lambda: quantize_model(dense_model(), layers=["hidden_3"]), r"fits 'hidden_3'. The nearest: 'hidden_"),
        (lambda: quantize_model(dense_model(), layers=[]), "`layers` must not be empty"),
        (lambda: quantize_model(dense_model(), QuantizeScheme(overrides={"x_*": None})), r"`overrides`: no layer"),
        (lambda: quantize_model(quantize_model(dense_model())), "quantised already"),
        (lambda: quantize_apply(quantize_model(quantize_annotate_model(dense_model()))), "quantised already"),
        (lambda: quantize_apply(dense_model()), "no layer of 'dense' is annotated"),
        (lambda: quantize_annotate_layer(3), "`to_annotate` must be a Keras 3 layer"),
        (lambda: quantize_annotate_model(layers.Dense(1)), "`to_annotate` must be a Keras 3 model"),
        (lambda: strip_quantization(dense_model()), "not quantised"),
        (
            lambda: quantize_model(dense_model(), QuantizeScheme(overrides={"*": None})),
            "leave nothing of 'dense' to quantise",
        ),
        (lambda: QuantizeScheme(weight_bits=9), "`weight_bits` must be a whole number from 2 to 8.*weight_bits=9"),
        (lambda: QuantizeScheme(weight_bits=True), "`weight_bits`"),
        (lambda: QuantizeScheme(activation_bits=4), "`activation_bits` must be 8, or None"),
        (lambda: QuantizeScheme(ranges="max"), "`ranges` must be one of"),
        (lambda: QuantizeScheme(ema_decay=1), "`ema_decay`"),
        (lambda: QuantizeScheme(delay_steps=-1), "`delay_steps`"),
        (lambda: QuantizeScheme(overrides={"a": 4}), "`overrides` must be a dict"),
        (lambda: QuantizeScheme(weight_bits=None, activation_bits=None), "quantises nothing"),
    ],
)
def test_mistakes_are_told_at_the_call(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_model_called_in_another_form_is_told():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    quantized = quantize_model(keras.Model(inputs, layers.Dense(1)(layers.Add()(list(inputs.values())))))
    with pytest.raises(ValueError, match="Call it with arguments of the form"):
        quantized([np.ones((2, 2)), np.ones((2, 2))])


def test_a_scheme_goes_through_its_config():
    scheme = QuantizeScheme(weight_bits=4, ranges="learned", overrides={"a": QuantizeScheme(delay_steps=3), "b": None})
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scheme)) == scheme
