import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfdistill.errors import UserError
from tfdistill.export import FORMATS, describe, export_tflite, flatbuffer

# The largest difference to the Keras model's probabilities: rounding of float32 and of float16's 11 bits; of weights in
# 256 steps; of weights and activations in 256 steps; of weights in 15 steps.
TOLERANCE = {
    "tflite_float32": 2e-6,
    "tflite_float16": 2e-3,
    "tflite_dynamic_int8": 0.03,
    "tflite_weight_only_int8": 0.03,
    "tflite_int8": 0.06,
    "tflite_int16": 0.03,
    "tflite_int4": 0.4,
}


def run(path, signature, inputs):
    return Interpreter(str(path), num_threads=1).get_signature_runner(signature)(**inputs)["probability"]


def tensors(path, operator):
    """[(inputs, outputs)] of every such operator in the first graph, as tensors."""
    model = flatbuffer.read(path)
    graph = model.subgraphs[0]
    return [
        ([graph.tensors[i] for i in found.inputs if i >= 0], [graph.tensors[i] for i in found.outputs])
        for found in graph.operators
        if flatbuffer.operator_name(model, found) == operator
    ]


def one_field_model(layer, dtype="float32", shape=()):
    x = keras.Input(shape, dtype=dtype, name="x")
    return keras.Model({"x": x}, layer(x))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_answers_like_the_keras_model(exported, inputs, probability, name):
    answer = run(getattr(exported, name), "serving_default", inputs)
    assert answer.shape == (600, 1) and answer.dtype == np.float32
    assert np.abs(answer - probability).max() < TOLERANCE[name]
    assert probability.std() > 0.1  # the model says different things about different rows


@pytest.mark.parametrize("name", FORMATS)
def test_both_signatures_give_the_same_answers(exported, inputs, name):
    batch = run(getattr(exported, name), "serving_default", inputs)
    one = Interpreter(str(getattr(exported, name)), num_threads=1).get_signature_runner("serve_one")
    rows = [one(**{field: values[i : i + 1] for field, values in inputs.items()})["probability"] for i in range(100)]
    # The batch of 1 multiplies and reshapes the age in another order: a step or two more of 16-bit ranges.
    np.testing.assert_allclose(np.concatenate(rows), batch[:100], atol=5e-4 if name == "tflite_int16" else 1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_signatures_are_named_by_field_with_int32_ids_and_float32_answers(exported, name):
    signatures = {entry["name"]: entry for entry in describe(getattr(exported, name))["signatures"]}
    assert list(signatures) == ["serve_one", "serving_default"]
    for signature, batch in (("serve_one", 1), ("serving_default", None)):
        found = {entry["name"]: (entry["dtype"], entry["shape"]) for entry in signatures[signature]["inputs"]}
        assert found == {
            "user": ("int32", [batch]),
            "item": ("int32", [batch]),
            "gender": ("int32", [batch]),
            "genres": ("int32", [batch, 5]),
            "age": ("float32", [batch]),
        }
        output = {"name": "probability", "dtype": "float32", "shape": [batch, 1]}
        assert signatures[signature]["outputs"] == [output]


@pytest.mark.parametrize("name", FORMATS)
def test_two_signatures_hold_the_weights_once(exported, name):
    contents = describe(getattr(exported, name))
    assert contents["bytes"] < sum(layer["bytes"] for layer in contents["layers"]) + 24_000


@pytest.mark.parametrize("name", FORMATS)
def test_no_operator_needs_more_than_the_plain_runtime(exported, name):
    contents = describe(getattr(exported, name))
    assert contents["foreign_operators"] == []
    assert not any(operator.startswith("Flex") for operator in contents["operators"])


def test_file_sizes_follow_the_width_of_the_numbers(exported):
    size = {name: getattr(exported, name).stat().st_size for name in FORMATS}
    assert size["tflite_float16"] < 0.6 * size["tflite_float32"]
    assert size["tflite_dynamic_int8"] < 0.35 * size["tflite_float32"]
    assert size["tflite_int8"] < 0.3 * size["tflite_float32"]
    assert size["tflite_weight_only_int8"] < 0.3 * size["tflite_float32"]
    assert size["tflite_int16"] < 0.31 * size["tflite_float32"]
    assert size["tflite_int4"] < 0.17 * size["tflite_float32"]


@pytest.mark.parametrize("name", ["tflite_dynamic_int8", "tflite_weight_only_int8", "tflite_int8", "tflite_int16"])
def test_embedding_tables_are_int8_in_the_file(exported, name):
    layers = {layer["name"]: layer for layer in describe(getattr(exported, name))["layers"]}
    for field, rows in (("user", 2000), ("item", 3000)):
        layer = layers[f"embed_{field}/embeddings"]
        assert (layer["dtype"], layer["shape"], layer["bytes"]) == ("int8", [rows, 16], rows * 16)


def test_full_int8_holds_no_float_weight(exported):
    assert {layer["dtype"] for layer in describe(exported.tflite_int8)["layers"]} == {"int8", "int32"}


def test_small_weights_stay_float_in_dynamic_int8(exported):
    layers = describe(exported.tflite_dynamic_int8)["layers"]
    for layer in layers:
        assert (layer["dtype"] == "float32") == (len(layer["shape"]) == 1 or np.prod(layer["shape"]) < 1024), layer


def test_weights_are_named_after_their_layers(exported):
    names = {layer["name"] for layer in describe(exported.tflite_float32)["layers"]}
    assert {"embed_user/embeddings", "cross/kernel", "hidden_1/kernel", "hidden_1/bias", "logits/kernel"} <= names


def test_ids_are_looked_up_without_the_handling_of_negative_ones(exported, ranker):
    for name in FORMATS:
        operators = describe(getattr(exported, name))["operators"]
        assert not {"LESS", "SELECT", "SELECT_V2"} & set(operators)
        assert operators["GATHER"] + operators.get("EMBEDDING_LOOKUP", 0) == 4


def test_a_where_of_the_model_itself_is_kept(tmp_path):
    class Shifted(keras.layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(10, 2), initializer="random_normal", name="table")

        def call(self, ids):
            shifted = tf.where(ids < 0, ids + 3, ids)  # -1 means row 2, not the last
            return tf.gather(tf.convert_to_tensor(self.table), shifted)

    model = one_field_model(Shifted(), dtype="int32")
    path = export_tflite(model, tmp_path / "m.tflite", "tflite_float32", output="logit")
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    rows = runner(x=np.array([-1, 4], np.int32))["logit"]
    np.testing.assert_array_equal(rows, model.layers[-1].table.numpy()[[2, 4]])


def test_half_precision_tables_are_looked_up_before_they_are_widened(exported):
    lookups = tensors(exported.tflite_float16, "GATHER")
    assert [table.type for (table, _), _ in lookups] == [schema.TensorType.FLOAT16] * 4


def test_full_int8_computes_the_sigmoid_in_float(exported, inputs):
    (((logit,), (probability,)),) = tensors(exported.tflite_int8, "LOGISTIC")
    assert logit.type == probability.type == schema.TensorType.FLOAT32
    answer = run(exported.tflite_int8, "serving_default", inputs)
    steps = np.unique(answer) * 256
    assert np.abs(steps - np.round(steps)).max() > 0.1  # not on the grid of an int8 sigmoid


def test_logits_are_exported_under_their_name(ranker, inputs, probability, tmp_path):
    path = export_tflite(ranker, tmp_path / "m.tflite", "tflite_float32", output="logit")
    logit = Interpreter(str(path)).get_signature_runner("serving_default")(**inputs)["logit"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), probability, atol=2e-6)


def test_several_classes_get_a_softmax_in_int8_too(tmp_path):
    keras.utils.set_random_seed(0)
    model = one_field_model(keras.layers.Dense(3), shape=(4,))
    values = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    expected = keras.ops.softmax(model({"x": values})).numpy()
    for name, tolerance in (("tflite_float32", 1e-6), ("tflite_int8", 0.03)):
        path = export_tflite(model, tmp_path / "m.tflite", name, calibration={"x": values})
        np.testing.assert_allclose(run(path, "serving_default", {"x": values}), expected, atol=tolerance)
        np.testing.assert_allclose(run(path, "serve_one", {"x": values[:1]}), expected[:1], atol=tolerance)


def test_a_model_with_a_single_unnamed_input_is_exported_too(tmp_path):
    model = keras.Sequential([keras.Input((3,), name="features"), keras.layers.Dense(1)])
    path = export_tflite(model, tmp_path / "m.tflite", "tflite_float32")
    values = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(
        run(path, "serving_default", {"features": values}), keras.ops.sigmoid(model(values)).numpy(), atol=1e-6
    )


class IncompleteGamma(keras.layers.Layer):
    def call(self, x):
        return tf.math.igamma(x, x)[:, None]


def test_an_operator_that_tflite_lacks_fails_by_name_and_leaves_no_file(tmp_path):
    with pytest.raises(UserError, match="Igamma"):
        export_tflite(one_field_model(IncompleteGamma()), tmp_path / "m.tflite", "tflite_float32")
    assert list(tmp_path.iterdir()) == []


def test_a_string_operator_fails_by_name_and_leaves_no_file(tmp_path):
    class Length(keras.layers.Layer):
        def call(self, x):
            return tf.cast(tf.strings.length(tf.strings.as_string(x)), tf.float32)[:, None]

    with pytest.raises(UserError, match="AsString|StringLength"):
        export_tflite(one_field_model(Length()), tmp_path / "m.tflite", "tflite_float32")
    assert list(tmp_path.iterdir()) == []


def test_flex_operators_are_found_in_the_file_itself(tmp_path):
    function = tf.function(tf.linalg.det, input_signature=[tf.TensorSpec((None, 2, 2))]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    assert flatbuffer.foreign_operators(flatbuffer.parse(converter.convert())) == ["FlexMatrixDeterminant"]


def test_a_failing_export_keeps_the_file_that_was_there(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"before")
    with pytest.raises(UserError):
        export_tflite(one_field_model(IncompleteGamma()), tmp_path / "m.tflite", "tflite_float32")
    assert (tmp_path / "m.tflite").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "needs .* training examples"),
        ({"y": np.zeros((3, 4))}, r"expected the fields \['x'\], received \['y'\]"),
        ({"x": np.zeros((3, 5))}, r"expected shape \(n, 4\)"),
        ({"x": np.zeros((0, 4))}, "n > 0"),
    ],
)
def test_calibration_that_does_not_fit_is_refused(tmp_path, calibration, message):
    model = one_field_model(keras.layers.Dense(1), shape=(4,))
    with pytest.raises(ValueError, match=message):
        export_tflite(model, tmp_path / "m.tflite", "tflite_int8", calibration=calibration)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_or_output_is_refused(ranker, tmp_path):
    with pytest.raises(ValueError, match="format: expected one of .* received 'int8'"):
        export_tflite(ranker, tmp_path / "m.tflite", "int8")
    with pytest.raises(ValueError, match="output: expected one of .* received 'score'"):
        export_tflite(ranker, tmp_path / "m.tflite", "tflite_float32", output="score")


@pytest.mark.parametrize("rows", (1, 300))
def test_any_number_of_calibration_rows_will_do(tmp_path, rows):
    """300 rows leave a last batch smaller than the others, which the calibrating interpreter cannot take as it is."""
    ids = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item")}
    joined = keras.layers.Concatenate()(
        [keras.layers.Embedding(50, 4, name=f"embed_{name}")(x) for name, x in ids.items()]
    )
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Dense(8, "relu")(joined)))
    few = {name: np.arange(rows, dtype=np.int32) % 50 for name in ids}
    path = export_tflite(model, tmp_path / "m.tflite", "tflite_int8", calibration=few)
    assert np.isfinite(run(path, "serving_default", few)).all()
