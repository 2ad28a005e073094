import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.errors import UserError
from tfdistill.export import describe, export_saved_model
from tfdistill.precision import in_precision


def serve(folder, signature, inputs):
    function = tf.saved_model.load(str(folder)).signatures[signature]
    outputs = function(**{name: tf.constant(values) for name, values in inputs.items()})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def in_a_fresh_process(program, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_both_signatures_answer_like_the_keras_model_in_inference_mode(exported, inputs, probability):
    answer = serve(exported.saved_model, "serving_default", inputs)
    assert list(answer) == ["probability"] and answer["probability"].dtype == np.float32
    np.testing.assert_allclose(answer["probability"], probability, atol=2e-6)
    first = {name: values[:1] for name, values in inputs.items()}
    np.testing.assert_allclose(
        serve(exported.saved_model, "serve_one", first)["probability"], probability[:1], atol=2e-6
    )


def test_it_runs_in_a_fresh_process_without_keras_and_tfdistill(exported, inputs, probability, tmp_path):
    np.savez(tmp_path / "inputs.npz", **{name: values[:3] for name, values in inputs.items()})
    program = """
        import json, sys
        import numpy as np, tensorflow as tf
        before = set(sys.modules)
        serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
        inputs = {name: tf.constant(values) for name, values in np.load(sys.argv[2]).items()}
        answer = serve(**inputs)["probability"].numpy().tolist()
        asked = sorted(name for name in set(sys.modules) - before if name.split(".")[0] in ("keras", "tf_keras"))
        print(json.dumps([answer, asked, "tfdistill" in sys.modules]))
    """
    answer, keras_modules, ours = in_a_fresh_process(program, exported.saved_model, tmp_path / "inputs.npz")
    np.testing.assert_allclose(answer, probability[:3], atol=2e-6)
    assert keras_modules == [] and not ours


def test_saved_model_cli_shows_the_named_signatures(exported):
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    command += ["show", "--dir", str(exported.saved_model), "--tag_set", "serve", "--signature_def", "serving_default"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("user", "item", "gender", "genres", "age"):
        assert f"inputs['{name}'] tensor_info" in shown
    assert "outputs['probability'] tensor_info" in shown and "shape: (-1, 5)" in shown


def test_it_holds_the_weights_of_the_model_once_and_no_optimizer(exported, ranker):
    contents = describe(exported.saved_model)
    assert {layer["name"] for layer in contents["layers"]} == {variable.path for variable in ranker.weights}
    assert contents["parameters"] == ranker.count_params()
    held = sum(file.stat().st_size for file in exported.saved_model.glob("variables/variables.data*"))
    assert held < 4 * ranker.count_params() + 4096


def test_logits_and_softmax_are_named_by_what_they_are(tmp_path):
    x = keras.Input((4,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(3)(x))
    values = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    logits = model({"x": values}).numpy()
    folder = export_saved_model(model, tmp_path / "m", output="logit")
    np.testing.assert_allclose(serve(folder, "serving_default", {"x": values})["logit"], logits, atol=1e-6)
    folder = export_saved_model(model, tmp_path / "m")
    expected = keras.ops.softmax(logits).numpy()
    np.testing.assert_allclose(serve(folder, "serving_default", {"x": values})["probability"], expected, atol=1e-6)


def test_a_new_export_takes_the_place_of_an_old_one(tmp_path):
    x = keras.Input((2,), name="x")
    for units in (3, 1):
        export_saved_model(keras.Model({"x": x}, keras.layers.Dense(units)(x)), tmp_path / "m")
    assert serve(tmp_path / "m", "serve_one", {"x": np.zeros((1, 2), np.float32)})["probability"].shape == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_a_half_precision_model_is_exported_in_float32(policy, tmp_path):
    keras.utils.set_random_seed(0)
    x = keras.Input((), dtype="int32", name="x")
    rows = keras.layers.Embedding(50, 8, dtype=policy)(x)
    hidden = keras.layers.BatchNormalization(dtype=policy)(keras.layers.Dense(8, "relu", dtype=policy)(rows))
    model = keras.Model({"x": x}, keras.layers.Dense(1, dtype="float32")(hidden))
    ids = np.arange(50, dtype=np.int32)
    folder = export_saved_model(model, tmp_path / "m", output="logit")
    np.testing.assert_allclose(serve(folder, "serving_default", {"x": ids})["logit"], model({"x": ids}), atol=5e-3)
    assert {layer["dtype"] for layer in describe(folder)["layers"]} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_half_precision_inside_a_wrapper_layer_is_found(tmp_path):
    x = keras.Input((3, 4), name="x")
    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(2, dtype="mixed_float16"), dtype="float32")(x)
    copy = in_precision(keras.Model({"x": x}, wrapped), "float32")
    assert copy.layers[-1].layer.compute_dtype == "float32"


def test_a_float32_model_is_taken_as_it_is(ranker):
    assert in_precision(ranker, "float32") is ranker


@pytest.mark.parametrize("name", ["age-group", "release year", "item.id", "2nd", "_private", "class", "self", "größe"])
def test_a_field_name_that_no_signature_can_carry_is_refused(name, tmp_path):
    x = keras.Input((2,), name=name)
    model = keras.Model({name: x}, keras.layers.Dense(1)(x))
    with pytest.raises(UserError, match="Rename the field"):
        export_saved_model(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_functional_is_refused(tmp_path):
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="expected a functional keras.Model, received Subclassed"):
        export_saved_model(Subclassed(), tmp_path / "m")


def test_a_model_with_two_outputs_is_refused(tmp_path):
    x = keras.Input((2,), name="x")
    with pytest.raises(ValueError, match="expected one output, the logits, received 2"):
        export_saved_model(keras.Model({"x": x}, [x, x + 1]), tmp_path / "m")
