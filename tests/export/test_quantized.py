"""The TFLite files of models that were quantised in training."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from tests.quantization.models import Block, cnn, sequence_model
from tfdistill.clustering import cluster_weights
from tfdistill.data import Field
from tfdistill.errors import UserError
from tfdistill.export import describe, export_saved_model, export_tflite, flatbuffer, stored
from tfdistill.models import build
from tfdistill.quantization import QuantizeScheme, quantize_model, strip_quantization
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude

RANDOM = np.random.default_rng(0)
FIELDS = [
    Field("user", "categorical", "user", 100),
    Field("item", "categorical", "item", 50),
    Field("genres", "bag", "item", 9, length=4),
    Field("age", "numeric", "user", 1),
]
ROWS = {
    "user": RANDOM.integers(0, 100, 512).astype(np.int32),
    "item": RANDOM.integers(0, 50, 512).astype(np.int32),
    "genres": RANDOM.integers(0, 9, (512, 4)).astype(np.int32),
    "age": RANDOM.normal(size=512).astype(np.float32),
}
LIKED = ((ROWS["user"] % 2) ^ (ROWS["item"] % 3 == 0)).astype(np.float32)[:, None]
IDS = {"ids": RANDOM.integers(0, 20, (128, 6)).astype(np.int32)}
IMAGES = {"image": RANDOM.normal(size=(128, 10, 10, 1)).astype(np.float32)}


def trained(model, x, y=None, scheme=None, epochs=8):
    y = RANDOM.normal(size=(len(next(iter(x.values()))), *model.output.shape[1:])) if y is None else y
    loss = "mse" if y.shape[-1] > 1 or y is not LIKED else keras.losses.BinaryCrossentropy(from_logits=True)
    quantized = quantize_model(model, scheme)
    quantized.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
    quantized.fit(
        x if isinstance(model.input, dict) else next(iter(x.values())), y, batch_size=64, epochs=epochs, verbose=0
    )
    return quantized


def ranker(kind, scheme=None):
    keras.utils.set_random_seed(0)
    model = build(kind, FIELDS, embedding_width=8, hidden_units=(16, 8))
    return trained(model, ROWS, LIKED, scheme, epochs=10)


def answers(path, x, output="logit", signature="serving_default"):
    return Interpreter(str(path), num_threads=1).get_signature_runner(signature)(**x)[output]


def steps_apart(quantized, path, x):
    """How far the file's logits are from the model's, in steps of the last rounding; the largest."""
    expected = quantized.predict(x if isinstance(quantized.input, dict) else next(iter(x.values())), verbose=0)
    low, high = [one for one in quantized.output_transforms if one.where == "output"][-1].range
    assert expected.std() > 2 * (high - low) / 255  # it says different things about different rows
    return np.abs(answers(path, x) - expected).max() / ((high - low) / 255)


def constants(path):
    """{shape: integers} of the int8 weights in a file's first graph, and the float constants of two axes or more."""
    model = flatbuffer.read(path)
    narrow, wide = [], []
    for tensor in model.subgraphs[0].tensors:
        if flatbuffer.constant(model, tensor) is None:
            continue
        if flatbuffer.dtype(tensor) == "int8":
            narrow.append((stored.integers(model, tensor), tensor.quantization))
        elif flatbuffer.dtype(tensor) == "float32" and sum(size > 1 for size in tensor.shape) > 1:
            wide.append(tensor)
    return narrow, wide


@pytest.mark.parametrize("kind", ("mlp", "dcn_v2"))
def test_a_ranker_answers_within_one_step_and_holds_the_integers_of_its_training(kind, tmp_path):
    quantized = ranker(kind)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    assert steps_apart(quantized, path, ROWS) < 1.001
    narrow, wide = constants(path)
    assert not wide and describe(path)["foreign_operators"] == []
    found = {integers.tobytes(): quantization for integers, quantization in narrow}
    plain = strip_quantization(quantized)
    for layer in plain.layers:
        if isinstance(layer, layers.Dense):
            kernel = layer.kernel.numpy()
            scales = np.abs(kernel).max(axis=0) / 127
            quantization = found[np.round(kernel / scales).T.astype(np.int8).tobytes()]
            np.testing.assert_allclose(quantization.scale, scales, rtol=1e-5)
        if isinstance(layer, layers.Embedding):
            table = layer.embeddings.numpy()
            scale = np.abs(table).max() / 127
            quantization = found[np.round(table / scale).astype(np.int8).tobytes()]
            np.testing.assert_allclose(quantization.scale, [scale], rtol=1e-5)


def test_probabilities_and_single_requests_come_from_the_same_numbers(tmp_path):
    quantized = ranker("mlp")
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8")
    expected = keras.ops.sigmoid(quantized.predict(ROWS, verbose=0)).numpy()
    np.testing.assert_allclose(answers(path, ROWS, "probability"), expected, atol=0.01)
    one = {name: values[:1] for name, values in ROWS.items()}
    np.testing.assert_allclose(answers(path, one, "probability", "serve_one"), expected[:1], atol=0.01)


@pytest.mark.parametrize(
    "scheme",
    [
        QuantizeScheme(),
        QuantizeScheme(per_channel=False),
        QuantizeScheme(weight_bits=4),
        QuantizeScheme(weight_bits=2, ranges="learned"),
    ],
    ids=("8 bits", "one scale", "4 bits", "2 bits, learned"),
)
def test_normalisation_is_folded_and_relu_fused_and_the_grid_stays(scheme, tmp_path):
    keras.utils.set_random_seed(0)
    quantized = trained(cnn(), IMAGES, RANDOM.normal(size=(128, 5)), scheme=scheme)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    assert steps_apart(quantized, path, IMAGES) < 2.001  # of noise labels: normalisation amplifies single steps
    contents = describe(path)
    assert "MUL" not in contents["operators"] and "RELU" not in contents["operators"]
    assert contents["operators"]["CONV_2D"] == 2 and contents["operators"]["DEPTHWISE_CONV_2D"] == 1
    narrow, wide = constants(path)
    assert not wide and len(narrow) == 4
    for integers, _ in narrow:
        assert len(np.unique(integers)) <= 2**scheme.weight_bits - 1


def test_a_network_on_real_digits_answers_within_one_step_on_the_test_set(tmp_path):
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images = (digits.images / 16).astype(np.float32)[..., None]
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = image
    for filters in (8, 16):
        x = layers.ReLU()(
            layers.BatchNormalization(momentum=0.9)(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
        )
        x = layers.MaxPooling2D()(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(layers.DepthwiseConv2D(2)(x)))
    quantized = quantize_model(keras.Model(image, layers.Dense(10)(layers.Flatten()(x))))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    quantized.compile(keras.optimizers.Adam(3e-3), loss)
    quantized.fit(images[:1200], digits.target[:1200], batch_size=64, epochs=12, verbose=0)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    test = {"image": images[1200:]}
    expected = quantized.predict(test["image"], verbose=0)
    low, high = quantized.output_transforms[-1].range
    apart = np.abs(answers(path, test) - expected) / ((high - low) / 255)
    # A number in the middle of two steps can fall to either side, and then all that follows from it moves a little.
    assert np.mean(apart > 0.5) < 0.05 and np.mean(apart > 1.001) < 1e-3 and apart.max() < 2.001
    assert np.mean(expected.argmax(1) == digits.target[1200:]) > 0.85


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(8, name="inner"),
        layers.GRU(8, name="inner"),
        layers.SimpleRNN(8, name="inner"),
        layers.Bidirectional(layers.LSTM(4), name="inner"),
        layers.TimeDistributed(layers.Dense(6), name="inner"),
        layers.Conv1D(8, 3, activation="tanh", name="inner"),
        layers.SeparableConv1D(8, 3, name="inner"),
        Block(name="inner"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_compute_in_float_keep_int8_weights(layer, tmp_path):
    keras.utils.set_random_seed(0)
    quantized = trained(sequence_model(layer), IDS, epochs=10)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    assert steps_apart(quantized, path, IDS) < 1.001
    narrow, wide = constants(path)
    assert not wide and len(narrow) >= sum(1 for _ in quantized.transformed())


@pytest.mark.parametrize("model", (lambda: build("mlp", FIELDS, embedding_width=4, hidden_units=(8,)), cnn))
def test_weights_alone_are_stored_and_computed_with_in_float(model, tmp_path):
    keras.utils.set_random_seed(0)
    model = model()
    x, y = (ROWS, LIKED) if model.name == "mlp" else (IMAGES, RANDOM.normal(size=(128, 5)))
    quantized = trained(model, x, y, QuantizeScheme(activation_bits=None))
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    expected = quantized.predict(x if isinstance(quantized.input, dict) else x["image"], verbose=0)
    np.testing.assert_allclose(answers(path, x), expected, atol=1e-4)
    assert not constants(path)[1]


def test_layers_left_out_stay_in_float_in_the_file(tmp_path):
    keras.utils.set_random_seed(0)
    scheme = QuantizeScheme(overrides={"hidden_1": None, "embed_user": None})
    quantized = trained(build("mlp", FIELDS, embedding_width=8, hidden_units=(16, 8)), ROWS, LIKED, scheme, epochs=10)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    assert steps_apart(quantized, path, ROWS) < 1.001
    assert sorted(list(tensor.shape) for tensor in constants(path)[1]) == [[16, 25], [100, 8]]


def test_pruned_zeros_and_clustered_values_are_in_the_file(tmp_path):
    keras.utils.set_random_seed(0)
    model = build("mlp", FIELDS, embedding_width=8, hidden_units=(16, 8))
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
    path = export_tflite(trained(pruned, ROWS, LIKED), tmp_path / "m.tflite", "tflite_int8")
    assert all(layer["zeros"] >= 0.49 for layer in describe(path)["layers"] if layer["dtype"] == "int8")
    clustered = cluster_weights(model, number_of_clusters=4)
    path = export_tflite(trained(clustered, ROWS, LIKED), tmp_path / "m.tflite", "tflite_int8")
    assert all(layer["distinct"] <= 4 for layer in describe(path)["layers"] if layer["dtype"] == "int8")


def test_a_model_with_a_quantised_layer_is_exported_too(tmp_path):
    wrapped = quantize_model(layers.Dense(8, "relu", name="inner"))
    model = keras.Sequential([keras.Input((4,), name="x"), wrapped, layers.Dense(1, name="plain")])
    x = RANDOM.normal(size=(64, 4)).astype(np.float32)
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], verbose=0)
    path = export_tflite(model, tmp_path / "m.tflite", "tflite_int8", output="logit")
    np.testing.assert_allclose(answers(path, {"x": x}), model.predict(x, verbose=0), atol=0.02)
    assert [integers.shape for integers, _ in constants(path)[0]] == [(8, 4)]


def test_a_model_that_ends_in_a_layer_left_in_float_gives_its_output_as_it_is(tmp_path):
    ids = keras.Input((3,), dtype="int32", name="ids")
    quantized = quantize_model(keras.Model(ids, layers.Embedding(9, 4)(ids)))
    rows = np.arange(9, dtype=np.int32).reshape(3, 3)
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    np.testing.assert_allclose(answers(path, {"ids": rows}), quantized.predict(rows, verbose=0), atol=1e-7)


def test_gates_that_the_converter_cuts_apart_are_found(tmp_path):
    images = keras.Input((2, 5, 5, 1), name="images")
    quantized = trained(
        keras.Model(images, layers.ConvLSTM2D(2, 3)(images)), {"images": np.ones((4, 2, 5, 5, 1), np.float32)}
    )
    path = export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8", output="logit")
    assert sum(integers.ndim == 4 for integers, _ in constants(path)[0]) == 8


def test_an_untrained_model_is_refused(tmp_path):
    quantized = quantize_model(cnn())
    with pytest.raises(UserError, match="has not been trained far enough.*cnn"):
        export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8")
    quantized = trained(cnn(), IMAGES, RANDOM.normal(size=(128, 5)), QuantizeScheme(delay_steps=100), epochs=1)
    with pytest.raises(UserError, match="delay"):
        export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8")
    assert list(tmp_path.iterdir()) == []


def test_other_formats_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match="pass strip_quantization"):
        export_tflite(quantize_model(cnn()), tmp_path / "m.tflite", "tflite_float32")


def test_a_weight_that_is_not_in_the_file_fails_by_name(monkeypatch, tmp_path):
    from tfdistill.export import quantized_file

    keras.utils.set_random_seed(0)
    quantized = ranker("mlp")
    monkeypatch.setattr(quantized_file, "_distance", lambda expected, values, slack: np.inf)
    with pytest.raises(UserError, match="does not hold the int8 weights of .*hidden_1/kernel"):
        export_tflite(quantized, tmp_path / "m.tflite", "tflite_int8")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_of_it_has_the_rounded_weights(tmp_path):
    quantized = ranker("mlp")
    assert export_saved_model(quantized, tmp_path / "saved").exists()
