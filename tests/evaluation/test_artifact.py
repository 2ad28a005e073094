import numpy as np
import pytest
import tensorflow as tf

from tfdistill.errors import UserError
from tfdistill.evaluation import open_artifact

KINDS = ["saved_model", "saved_model_logit", "float32", "float32_logit", "int8"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_predicts_the_models_probabilities(student, kind):
    predicted = open_artifact(getattr(student, kind)).predict(student.inputs, batch_size=400)
    assert predicted.shape == (1500,) and predicted.dtype == np.float32
    assert student.probability.std() > 0.1
    np.testing.assert_allclose(predicted, student.probability, atol=0.06 if kind == "int8" else 2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_example_gives_what_a_batch_gives_in_any_order_of_calls(student, kind):
    artifact = open_artifact(getattr(student, kind))
    inputs = artifact.checked(student.inputs)
    for row in (3, 4):
        one = artifact.answer_one({name: values[row : row + 1] for name, values in inputs.items()})
        assert one.shape == (1, 1)
        if artifact.output == "logit":
            one = 1 / (1 + np.exp(-one))
        assert one[0, 0] == pytest.approx(artifact.predict(student.inputs)[row], abs=1e-6)


def test_lists_and_wider_integers_are_taken(student):
    artifact = open_artifact(student.float32)
    wide = {name: values.astype(np.int64) if name != "age" else list(values) for name, values in student.inputs.items()}
    np.testing.assert_array_equal(artifact.predict(wide), artifact.predict(student.inputs))


def test_progress_counts_the_rows(student):
    calls = []
    open_artifact(student.float32).predict(
        student.inputs, batch_size=600, progress=lambda *counts: calls.append(counts)
    )
    assert calls == [(600, 1500), (1200, 1500), (1500, 1500)]


@pytest.mark.parametrize("kind", ["saved_model", "float32"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda inputs: inputs.pop("user"), "missing user. It takes the fields age, genres, item, user"),
        (lambda inputs: inputs.update(price=np.zeros(4)), "unknown price"),
        (
            lambda inputs: inputs.update(genres=np.zeros((4, 5), int)),
            r"genres: expected shape \(n, 3\), received \(4, 5\)",
        ),
        (lambda inputs: inputs.update(user=np.zeros((4, 1), int)), r"user: expected shape \(n\), received \(4, 1\)"),
        (lambda inputs: inputs.update(user=np.zeros(4)), "user: expected int32, received float64"),
        (lambda inputs: inputs.update(user=np.array(["a"] * 4)), "user: expected int32, received <U1"),
        (lambda inputs: inputs.update(user=np.zeros(3, int)), "one number of rows"),
        (lambda inputs: inputs.update({name: values[:0] for name, values in inputs.items()}), "at least 1"),
    ],
)
def test_inputs_that_do_not_fit_are_told_by_field(student, kind, change, message):
    inputs = {name: values[:4] for name, values in student.inputs.items()}
    change(inputs)
    with pytest.raises(UserError, match=message):
        open_artifact(getattr(student, kind)).predict(inputs)


def test_a_file_that_cannot_be_opened_is_told_in_one_line(student, tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        open_artifact(tmp_path / "missing.tflite")
    (tmp_path / "m.tflite").write_bytes(student.float32.read_bytes()[:3000])
    with pytest.raises(UserError, match="not a TFLite file, or damaged or cut short"):
        open_artifact(tmp_path / "m.tflite")
    with pytest.raises(UserError, match="no SavedModel here"):
        open_artifact(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"something else")
    with pytest.raises(UserError, match="damaged or cut short"):
        open_artifact(tmp_path)


def test_an_output_of_another_name_is_refused(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: {"doubled": 2 * x}, input_signature=[tf.TensorSpec((None, 1), name="x")])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.double)
    with pytest.raises(UserError, match="one output called probability, probabilities or logit, found doubled"):
        open_artifact(tmp_path / "m")


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_int8_inputs_and_outputs_are_converted_at_the_boundary(tmp_path):
    kernel = tf.constant(np.random.default_rng(0).normal(size=(4, 1)).astype(np.float32))
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"logit": tf.matmul(x, kernel)}, input_signature=[tf.TensorSpec((None, 4), name="x")]
    )
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.serve)
    values = np.random.default_rng(1).uniform(-1, 1, (300, 4)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "m"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: iter([{"x": values}])
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    artifact = open_artifact(tmp_path / "m.tflite")
    expected = open_artifact(tmp_path / "m").predict({"x": values})
    np.testing.assert_allclose(artifact.predict({"x": values}), expected, atol=0.02)
    assert artifact.answer_one({"x": values[:1]}).dtype == np.float32
