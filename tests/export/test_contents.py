import gzip
import io
import json
import subprocess
import sys
import tarfile

import keras
import numpy as np
import pytest

from tfdistill.errors import UserError
from tfdistill.export import FORMATS, describe, export_saved_model, export_tflite
from tfdistill.export.sizes import gzip_bytes

KEYS = ["format", "path", "bytes", "gzip_bytes", "parameters", "flops", "signatures", "operators", "layers"]
KEYS += ["foreign_operators"]


@pytest.fixture(scope="module")
def keras_file(ranker, tmp_path_factory):
    # The ranker has a layer of the tests' own, which a safe loader does not know.
    x = keras.Input((), dtype="int32", name="user")
    model = keras.Model(
        {"user": x}, keras.layers.Dense(1, name="logits")(keras.layers.Embedding(7, 4, name="table")(x))
    )
    path = tmp_path_factory.mktemp("keras") / "m.keras"
    model.save(path)
    return path


@pytest.mark.parametrize("name", ["saved_model", "tflite_float32", "tflite_int8"])
def test_every_kind_of_export_is_described_with_the_same_keys_and_as_json(exported, name):
    contents = describe(getattr(exported, name))
    assert list(contents) == KEYS
    assert json.loads(json.dumps(contents)) == contents


@pytest.mark.parametrize("name", FORMATS)
def test_a_tflite_file_has_the_parameters_of_its_model_less_the_folded_normalisation(exported, ranker, name):
    # BatchNormalization's four vectors of 48 go into the kernel and the bias of the layer behind it.
    assert describe(getattr(exported, name))["parameters"] == ranker.count_params() - 4 * 48


def test_the_bytes_of_a_weight_are_those_of_its_type(exported):
    width = {"float32": 4, "float16": 2, "int4": 0.5, "int8": 1, "int32": 4, "int64": 8}
    for name in (*FORMATS, "saved_model"):
        for layer in describe(getattr(exported, name))["layers"]:
            assert layer["bytes"] == np.ceil(np.prod(layer["shape"]) * width[layer["dtype"]])


@pytest.mark.parametrize("name", ["tflite_float32", "tflite_int8", "saved_model"])
def test_zeros_and_distinct_values_of_every_weight_are_told(tmp_path, name):
    keras.utils.set_random_seed(0)
    x = keras.Input((64,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(32, name="hidden")(x))
    kernel = np.random.default_rng(0).choice(np.float32([-0.5, 0, 0.25, 1]), (64, 32), p=[0.1, 0.6, 0.2, 0.1])
    kernel[:2] = [[1] * 32, [-0.5] * 32]  # each channel has its largest value, hence the same scale
    model.get_layer("hidden").set_weights([kernel, np.zeros(32, np.float32)])
    if name == "saved_model":
        path = export_saved_model(model, tmp_path / name, output="logit")
    else:
        path = export_tflite(model, tmp_path / "m.tflite", name, output="logit", calibration={"x": kernel.T})
    (layer,) = [layer for layer in describe(path)["layers"] if layer["name"] == "hidden/kernel"]
    assert layer["zeros"] == (kernel == 0).mean()
    assert layer["distinct"] == 4


def test_a_keras_file_shows_its_layers(keras_file):
    contents = describe(keras_file)
    assert list(contents) == KEYS
    assert contents["layers"] == [
        {"name": "table", "kind": "Embedding", "parameters": 28, "bytes": 112},
        {"name": "logits", "kind": "Dense", "parameters": 5, "bytes": 20},
    ]
    assert contents["parameters"] == 33
    (signature,) = contents["signatures"]
    assert signature["inputs"] == [{"name": "user", "dtype": "int32", "shape": [None]}]
    assert signature["outputs"] == [{"name": "logits", "dtype": "float32", "shape": [None, 1]}]
    json.dumps(contents)


def test_gzip_bytes_are_those_of_gzip(exported, tmp_path):
    content = exported.tflite_int8.read_bytes()
    assert gzip_bytes(exported.tflite_int8) == len(gzip.compress(content, 9))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(exported.saved_model, arcname=".")
    assert gzip_bytes(exported.saved_model) == pytest.approx(len(gzip.compress(archive.getvalue(), 9)), rel=0.01)


def test_gzip_bytes_of_a_folder_do_not_depend_on_when_it_was_written(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "file").write_bytes(b"content" * 100)
        (tmp_path / name / "first").write_bytes(b"x")
    assert gzip_bytes(tmp_path / "a") == gzip_bytes(tmp_path / "b")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.99])
def test_a_truncated_tflite_file_is_told_in_one_line(exported, tmp_path, share):
    content = exported.tflite_int8.read_bytes()
    (tmp_path / "m.tflite").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="m.tflite: (damaged or cut short|not a TFLite file)"):
        describe(tmp_path / "m.tflite")


def test_a_file_of_another_kind_is_told_apart(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"something else entirely")
    with pytest.raises(UserError, match="not a TFLite file"):
        describe(tmp_path / "m.tflite")
    (tmp_path / "m.keras").write_bytes(b"something else entirely")
    with pytest.raises(UserError, match="no .keras file"):
        describe(tmp_path / "m.keras")
    (tmp_path / "m.onnx").write_bytes(b"something else entirely")
    with pytest.raises(UserError, match="expected a SavedModel folder"):
        describe(tmp_path / "m.onnx")
    with pytest.raises(UserError, match="no such file"):
        describe(tmp_path / "missing")
    with pytest.raises(UserError, match="no SavedModel here"):
        describe(tmp_path)


def test_a_truncated_keras_file_is_told_in_one_line(keras_file, tmp_path):
    content = keras_file.read_bytes()
    (tmp_path / "m.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cut off"):
        describe(tmp_path / "m.keras")


@pytest.mark.parametrize(
    "damaged", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_truncated_saved_model_is_told_in_one_line(exported, tmp_path, damaged):
    import shutil

    folder = shutil.copytree(exported.saved_model, tmp_path / "m")
    content = (folder / damaged).read_bytes()
    (folder / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="damaged or cut short"):
        describe(folder)


def test_code_inside_a_keras_file_is_not_run(tmp_path):
    x = keras.Input((2,))
    keras.Model(x, keras.layers.Lambda(lambda value: value * 2)(x)).save(tmp_path / "m.keras")
    with pytest.raises(UserError, match="needs code that is not loaded from a file .a Python lambda."):
        describe(tmp_path / "m.keras")


def test_a_layer_that_cannot_be_found_is_named(ranker, tmp_path):
    ranker.save(tmp_path / "m.keras")
    with pytest.raises(UserError, match="MaskedMean"):
        describe(tmp_path / "m.keras")


def test_looking_into_a_tflite_file_needs_neither_tensorflow_nor_keras(exported):
    program = (
        "import sys; from tfdistill.export import describe; describe(sys.argv[1]);"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(exported.tflite_int8)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
