"""What the numbers in a file say: each format against arithmetic in numpy on the integers and scales stored in it."""

import gzip

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tfdistill.errors import UserError
from tfdistill.evaluation import open_artifact
from tfdistill.export import FORMATS, describe, export_saved_model, export_tflite, flatbuffer
from tfdistill.parametrize import WeightTransform, parametrize

# Where activations stay float, rounding only; else steps of a range: 8 bits on the fly, 16 bits, 8 bits. What goes into
# a product with an int4 kernel is rounded to 8 bits on the fly.
ROUNDING = dict.fromkeys(FORMATS, 2e-6) | {"tflite_int16": 1e-3, "tflite_int8": 0.05}
ROUNDING |= dict.fromkeys(("tflite_dynamic_int8", "tflite_int4"), 0.02)
ROUNDING["tflite_float16"] = 3e-5  # it stores the factor 0.1 of the age in float16, too


def numbers_in(path):
    """{name: float64 array} of all constants of the first graph, decoded here: integer minus zero point, times scale."""
    model = flatbuffer.read(path)
    found = {}
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is None or not tensor.name:
            continue
        kind, content = flatbuffer.dtype(tensor), bytes(np.asarray(data, np.uint8))
        if kind == "int4":
            halves = [half for byte in content for half in (byte & 15, byte >> 4)]
            stored = np.array([half - 16 if half > 7 else half for half in halves][: np.prod(tensor.shape)])
        else:
            stored = np.frombuffer(content, kind)
        values = stored.reshape(tensor.shape).astype(np.float64)
        if tensor.quantization is not None and tensor.quantization.scale is not None:
            along = [1] * values.ndim
            if values.ndim:
                along[tensor.quantization.quantizedDimension] = -1
            point, scale = (np.asarray(x) for x in (tensor.quantization.zeroPoint, tensor.quantization.scale))
            values = (values - point.reshape(along)) * scale.reshape(along)
        found[tensor.name.decode()] = values
    return found


def ranker_in_numpy(weights, inputs):
    def dense(name, x):
        return x @ weights[f"{name}/kernel"].T + weights[f"{name}/bias"].reshape(-1)

    rows = {name: weights[f"embed_{name}/embeddings"][inputs[name]] for name in ("user", "item", "gender", "genres")}
    mask = (inputs["genres"] != 0)[..., None]
    genres = (rows["genres"] * mask).sum(1) / np.maximum(mask.sum(1), 1)
    start = np.concatenate([rows["user"], rows["item"], rows["gender"], genres, 0.1 * inputs["age"][:, None]], -1)
    x = start * dense("cross", start) + start
    x = np.maximum(dense("hidden_1", x), 0)
    x = np.maximum(dense("hidden_2", x), 0)  # with the normalisation in front multiplied into it
    return 1 / (1 + np.exp(-dense("logits", x)))


@pytest.mark.parametrize("kernels", ["with XNNPACK", "built-in"])
@pytest.mark.parametrize("name", FORMATS)
def test_answers_are_those_of_the_stored_numbers_under_either_set_of_kernels(exported, inputs, name, kernels):
    path = getattr(exported, name)
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if kernels == "built-in" else OpResolverType.AUTO
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    expected = ranker_in_numpy(numbers_in(path), inputs)
    answer = interpreter.get_signature_runner("serving_default")(**inputs)["probability"]
    assert np.abs(answer - expected).max() < ROUNDING[name]
    one = interpreter.get_signature_runner("serve_one")
    rows = [one(**{field: x[i : i + 1] for field, x in inputs.items()})["probability"] for i in range(20)]
    assert np.abs(np.concatenate(rows) - expected[:20]).max() < ROUNDING[name]


def test_int4_keeps_large_weights_in_four_bits_small_ones_in_eight_and_biases_in_float(exported):
    layers = {layer["name"]: layer for layer in describe(exported.tflite_int4)["layers"]}
    kinds = {name: layer["dtype"] for name, layer in layers.items()}
    assert kinds["embed_user/embeddings"] == kinds["hidden_1/kernel"] == kinds["hidden_2/kernel"] == "int4"
    assert kinds["embed_genres/embeddings"] == "int8"  # 19 rows of 16
    assert kinds["hidden_1/bias"] == kinds["logits/kernel"] == "float32"
    assert layers["embed_user/embeddings"]["bytes"] == 2000 * 16 / 2


def test_a_lookup_turns_only_its_rows_into_floats(exported):
    for name in ("tflite_weight_only_int8", "tflite_int16", "tflite_int4"):
        model = flatbuffer.read(getattr(exported, name))
        for subgraph in model.subgraphs:
            for operator in subgraph.operators:
                if flatbuffer.operator_name(model, operator) == "DEQUANTIZE":
                    source = flatbuffer.tensor_name(subgraph.tensors[operator.inputs[0]])
                    assert not source.startswith("embed_")


def make_compressed(compressed):
    """Tables of 1,500 and 1,200 rows, kernels of 32x64 and 64x32: zeros in one of each, 16 values in the other."""
    keras.utils.set_random_seed(5)
    ids = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item")}
    tables = [
        keras.layers.Embedding(rows, 16, name=f"embed_{name}")(ids[name])
        for name, rows in (("user", 1500), ("item", 1200))
    ]
    x = keras.layers.Concatenate()(tables)
    x = keras.layers.Dense(64, "relu", name="hidden_1")(x)
    x = keras.layers.Dense(32, "relu", name="hidden_2")(x)
    model = keras.Model(ids, keras.layers.Dense(1, name="logits")(x))
    random = np.random.default_rng(0)
    for name, is_pruned in (("embed_user", True), ("embed_item", False), ("hidden_1", True), ("hidden_2", False)):
        weight = model.get_layer(name).weights[0]
        value = random.normal(0, 0.3, weight.shape).astype(np.float32)
        if compressed:
            value = prune(value) if is_pruned else share(value)
        weight.assign(value)
    return model


def prune(value):
    return np.where(np.abs(value) < np.quantile(np.abs(value), 0.8), np.float32(0), value)


def share(value):
    centroids = np.linspace(value.min(), value.max(), 16, dtype=np.float32)
    return centroids[np.abs(value[..., None] - centroids).argmin(-1)]


CALIBRATION = {"user": np.arange(400, dtype=np.int32), "item": np.arange(400, dtype=np.int32)}


@pytest.fixture(scope="module")
def models():
    return {compressed: make_compressed(compressed) for compressed in (True, False)}


@pytest.mark.parametrize("name", FORMATS)
def test_pruned_weights_are_zero_clustered_ones_shared_and_the_download_smaller(models, tmp_path, name):
    model, sizes = models[True], {}
    for compressed in (True, False):
        calibration = CALIBRATION if name in ("tflite_int8", "tflite_int16") else None
        path = export_tflite(models[compressed], tmp_path / f"{compressed}.tflite", name, calibration=calibration)
        sizes[compressed] = len(gzip.compress(path.read_bytes(), 9))
    weights = numbers_in(tmp_path / "True.tflite")
    for layer, is_pruned in (("embed_user", True), ("embed_item", False), ("hidden_1", True), ("hidden_2", False)):
        variable = model.get_layer(layer).weights[0]
        value, stored = variable.numpy(), weights[f"{layer}/{variable.name}"]
        stored = stored if layer.startswith("embed") else stored.T
        if is_pruned:
            assert (stored[value == 0] == 0).all() and (value == 0).mean() > 0.79
        elif layer == "embed_item" or name in ("tflite_float32", "tflite_float16"):
            assert len(np.unique(stored)) <= 16
        else:
            assert max(len(np.unique(channel)) for channel in stored.T) <= 16
    assert sizes[True] < 0.75 * sizes[False]


class Masked(WeightTransform):
    """Zeros where the value lies below its mean magnitude."""

    def call(self, value, training=False):
        magnitude = keras.ops.abs(value)
        return keras.ops.where(magnitude < keras.ops.mean(magnitude), 0.0, value)


def test_a_model_under_transforms_is_exported_as_what_strip_makes_of_it(models, tmp_path):
    pruned = parametrize(models[False], lambda weight: Masked() if weight.is_multiplied else None)
    path = export_tflite(pruned, tmp_path / "m.tflite", "tflite_weight_only_int8")
    weights = numbers_in(path)
    value = models[False].get_layer("hidden_1").kernel.numpy()
    kept = np.abs(value) >= np.abs(value).mean()
    assert ((weights["hidden_1/kernel"].T != 0) == kept).mean() > 0.99 and (
        weights["hidden_1/kernel"].T[~kept] == 0
    ).all()
    expected = keras.ops.sigmoid(pruned(CALIBRATION)).numpy()
    answer = Interpreter(str(path)).get_signature_runner("serving_default")(**CALIBRATION)["probability"]
    np.testing.assert_allclose(answer, expected, atol=0.02)
    folder = export_saved_model(pruned, tmp_path / "m")
    zeros = {layer["name"]: layer["zeros"] for layer in describe(folder)["layers"]}
    assert zeros["hidden_1/kernel"] == (~kept).mean()


class Tied(keras.layers.Layer):
    """A table whose rows are looked up, and multiplied with all of it."""

    def build(self, shape):
        self.table = self.add_weight(shape=(300, 8), initializer="random_normal", name="table")

    def call(self, x):
        return keras.ops.matmul(keras.ops.take(self.table, x, axis=0), keras.ops.transpose(self.table))


class Positions(keras.layers.Layer):
    """Rows that are added, not multiplied."""

    def build(self, shape):
        self.rows = self.add_weight(shape=(40, 32), initializer="random_normal", name="rows")

    def call(self, x):
        return x + self.rows


class Columns(keras.layers.Layer):
    """A table looked up by column."""

    def build(self, shape):
        self.table = self.add_weight(shape=(6, 300), initializer="random_normal", name="table")

    def call(self, x):
        return keras.ops.transpose(keras.ops.take(self.table, x, axis=1))


class Attention(keras.layers.MultiHeadAttention):
    def __init__(self, **kwargs):
        super().__init__(4, 16, **kwargs)

    def build(self, shape):
        super().build(shape, shape)

    def call(self, x):
        return super().call(x, x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape)


LAYERS = {  # name -> (layers, shape of an example, rows of the table that its ids look up)
    "odd width": (lambda: [keras.layers.Embedding(400, 5)], (), 400),
    "one column": (lambda: [keras.layers.Embedding(2000, 1)], (), 2000),
    "bag of any length": (lambda: [keras.layers.Embedding(300, 6)], (None,), 300),
    "table looked up by column": (lambda: [Columns()], (), 300),
    "table that is a kernel too": (lambda: [Tied()], (), 300),
    "odd kernel": (lambda: [keras.layers.Dense(35)], (33,), None),
    "rows that are added": (lambda: [Positions()], (40, 32), None),
    "convolutions": (
        lambda: [
            keras.layers.Conv2D(40, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=3),
            keras.layers.Conv2D(16, 3),
            keras.layers.GlobalAveragePooling2D(),
        ],
        (8, 8, 3),
        None,
    ),
    "recurrent": (lambda: [keras.layers.LSTM(24, unroll=True)], (5, 16), None),
    "attention": (lambda: [Attention()], (6, 32), None),
}


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("which", LAYERS)
def test_layers_of_all_kinds_compute_in_float_with_the_rounded_weights(tmp_path, which, bits):
    keras.utils.set_random_seed(2)
    layers, shape, rows = LAYERS[which]
    model = keras.Sequential([keras.Input(shape, dtype="int32" if rows else "float32", name="x"), *layers()])
    random, sizes = np.random.default_rng(1), (7, *(size or 3 for size in shape))
    x = random.integers(0, rows, sizes).astype(np.int32) if rows else random.normal(size=sizes).astype(np.float32)
    name = "tflite_weight_only_int8" if bits == 8 else "tflite_int4"
    path = export_tflite(model, tmp_path / "m.tflite", name, output="logit")
    expected = model(x).numpy()
    answer = Interpreter(str(path)).get_signature_runner("serving_default")(x=x)["logit"]
    assert answer.shape == expected.shape
    # Half a step for every weight, of which 127 or 7 reach the largest: together at most this share of the outputs' width.
    assert np.abs(answer - expected).max() < (0.02 if bits == 8 else 0.35) * np.abs(expected).max()
    one = Interpreter(str(path)).get_signature_runner("serve_one")(x=x[:1])["logit"]
    np.testing.assert_allclose(one, answer[:1], atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kernels", ["with XNNPACK", "built-in"])
@pytest.mark.parametrize(("width", "units"), [(33, 35), (64, 64), (1023, 2), (2, 513), (42, 64)])
def test_int4_kernels_of_any_shape_are_multiplied_right_under_either_set_of_kernels(tmp_path, width, units, kernels):
    """Half a step of the 8-bit input, at most 1.01 wide, for every number of the kernel; reading it wrong costs far more."""
    model = keras.Sequential([keras.Input((width,), name="x"), keras.layers.Dense(units)])
    random = np.random.default_rng(0)
    x = random.integers(-127, 128, (5, width)).astype(np.float32)
    x[:, :2] = [-128, 127]
    model.layers[0].set_weights([random.normal(size=(width, units)), random.normal(size=units)])
    path = export_tflite(model, tmp_path / "m.tflite", "tflite_int4", output="logit")
    weights = numbers_in(path)
    (name,) = (name for name in weights if name.endswith("/kernel"))
    expected = x @ weights[name].T + weights[name.replace("kernel", "bias")]
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if kernels == "built-in" else OpResolverType.AUTO
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    answer = interpreter.get_signature_runner("serving_default")(x=x)["logit"]
    assert (np.abs(answer - expected) <= 0.51 * np.abs(weights[name]).sum(axis=1)).all()


def test_sixteen_bits_without_their_package_say_what_to_install(models, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"tflite_int16: needs ai-edge-quantizer. .* pip install 'tfdistill\[int16\]'"):
        export_tflite(models[False], tmp_path / "m.tflite", "tflite_int16", calibration=CALIBRATION)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["saved_model", "tflite_float32", "tflite_int8"])
def test_labels_that_do_not_exclude_each_other_get_a_sigmoid_each(tmp_path, format):
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, bias_initializer="ones")])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    path = tmp_path / "tags"
    if format == "saved_model":
        export_saved_model(model, path, output="probabilities")
    else:
        export_tflite(model, path, format, output="probabilities", calibration={"x": x})
    expected = 1 / (1 + np.exp(-model.predict(x, verbose=0)))
    answer = open_artifact(path).predict({"x": x})
    assert answer.shape == (64, 3)
    np.testing.assert_allclose(answer, expected, atol=0.02 if format == "tflite_int8" else 1e-6)
