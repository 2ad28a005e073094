"""Files of Keras 2: read where tf_keras is at hand, and never a way in for code."""

import builtins
import json
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from tfdistill import UserError
from tfdistill.export import describe
from tfdistill.teachers import load_teacher

tf_keras = pytest.importorskip("tf_keras")
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


def changed(source, target, change):
    """A copy of a .keras file with its configuration changed."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            copy.writestr(name, content)
    return target


def test_a_model_with_operations_strings_and_nested_models_is_read(tmp_path):
    user = tf_keras.Input((), dtype="string", name="user")
    age = tf_keras.Input((1,), name="age")
    ids = tf_keras.layers.StringLookup(vocabulary=["a", "b"])(user)
    tower = tf_keras.Sequential([tf_keras.layers.Dense(4, "tanh"), tf_keras.layers.LayerNormalization()], name="tower")
    x = tower(tf_keras.layers.Embedding(3, 4)(ids)) * 2.0 + age[:, :1]
    model = tf_keras.Model({"user": user, "age": age}, tf_keras.layers.Dense(1)(x))
    fields = {"user": np.array(["a", "b", "other"]), "age": np.array([1.0, 2.0, 3.0], "float32")}
    expected = model({"user": fields["user"], "age": fields["age"][:, None]})
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        teacher = load_teacher(tmp_path / name)
        assert sorted(teacher.fields) == ["age", "user"]
        np.testing.assert_allclose(teacher(fields), expected, rtol=1e-5)
        assert teacher.feature_outputs(fields, ["tower"])["tower"].shape == (3, 4)


def test_registered_code_is_used(tmp_path):
    @tf_keras.saving.register_keras_serializable(package="tests")
    def doubled(x):
        return 2 * x

    @tf_keras.saving.register_keras_serializable(package="tests")
    class PlusOne(tf_keras.layers.Layer):
        def call(self, inputs):
            return inputs + 1

    layers = [tf_keras.layers.Dense(1, doubled, kernel_initializer="ones"), PlusOne()]
    tf_keras.Sequential([tf_keras.layers.InputLayer((2,), name="x"), *layers]).save(tmp_path / "model.keras")
    np.testing.assert_allclose(load_teacher(tmp_path / "model.keras")(np.ones((1, 2))), [[5.0]])


def test_code_that_is_not_registered_is_named(tmp_path):
    class Doubled(tf_keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    tf_keras.Sequential([tf_keras.layers.InputLayer((2,)), Doubled()]).save(tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"\(Could not locate 'Doubled'\).*tf_keras.saving"):
        load_teacher(tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_lambda_is_refused(tmp_path, name):
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((2,)), tf_keras.layers.Lambda(lambda x: 2 * x)])
    model.save(tmp_path / name)
    with pytest.raises(UserError, match=r"needs code that is not loaded from a file \(Could not locate 'Lambda'\)"):
        load_teacher(tmp_path / name)


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "os", "class_name": "function", "config": "getcwd", "registered_name": "getcwd"},
        {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"},
        {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
        {"module": "tests_evil", "class_name": "Dense", "config": {}, "registered_name": None},
        {"module": "keras.models", "class_name": "load_model", "config": {}, "registered_name": None},
        {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
        {"module": "keras.activations", "class_name": "function", "config": "deserialize", "registered_name": "x"},
        {"class_name": "__lambda__", "config": {"value": "bytecode"}},
        {"class_name": "__typespec__", "spec_name": "system", "module": "os", "config": [], "registered_name": None},
        {"module": "tf_keras.src.layers.core.tf_op_layer", "class_name": "TFOpLambda",
         "config": {"name": "x", "function": "io.write_file"}, "registered_name": "TFOpLambda"},
        {"class_name": "TFOpLambda", "config": {"name": "x", "function": "py_function"}},
        {"class_name": "TensorFlowOpLayer", "config": {"name": "x", "node_def": ""}},
    ],
    ids=lambda layer: f"{layer.get('module')}-{layer['class_name']}-{layer['config']}",
)  # fmt: skip
def test_a_file_can_name_nothing_but_stock_classes(rankers, tmp_path, layer, monkeypatch):
    # tf_keras itself would import the module and call the function
    monkeypatch.setitem(sys.modules, "tests_evil", None)
    path = changed(
        rankers.folder / "legacy.keras", tmp_path / "evil.keras", lambda c: c["config"]["layers"].append(layer)
    )
    with pytest.raises(UserError, match="needs code that is not loaded from a file"):
        load_teacher(path)


def test_the_way_out_without_tf_keras_is_told(rankers, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "tf_keras":
            raise ImportError(f"No module named '{name}'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("legacy.keras", "legacy.h5"):
        with pytest.raises(
            UserError, match=r"written by Keras 2\.\d+\.\d+.*pip install 'tfdistill\[legacy\]'.*SavedModel"
        ):
            load_teacher(rankers.folder / name)
    load_teacher(rankers.folder / "ranker.keras")  # a file of Keras 3 does not need it


def test_a_file_of_weights_alone_and_a_damaged_one_are_told(rankers, tmp_path):
    rankers.model.save_weights(tmp_path / "ranker.weights.h5")
    with pytest.raises(UserError, match="holds weights without a model. Save the whole model"):
        load_teacher(tmp_path / "ranker.weights.h5")
    (tmp_path / "cut.h5").write_bytes((rankers.folder / "legacy.h5").read_bytes()[:100])
    with pytest.raises(UserError, match="is no .h5 file, or one that was cut off"):
        load_teacher(tmp_path / "cut.h5")
    for config in ("{", "[1]"):
        with h5py.File(tmp_path / "broken.h5", "w") as file:
            file.attrs["model_config"], file.attrs["keras_version"] = config, "2.15.0"
        with pytest.raises(UserError, match="'.*broken.h5' cannot be read"):
            load_teacher(tmp_path / "broken.h5")


def test_a_lambda_in_a_file_of_keras_3_is_refused_in_both_formats(tmp_path):
    x = keras.Input((1,), name="age")
    model = keras.Model(x, keras.layers.Lambda(lambda x: x)(x))
    for name in ("lambda.keras", "lambda.h5"):
        model.save(tmp_path / name)
        with pytest.raises(UserError, match="needs code that is not loaded from a file"):
            load_teacher(tmp_path / name)


def test_a_file_of_keras_2_is_described_too(rankers):
    contents = describe(rankers.folder / "legacy.keras")
    of_keras_3 = describe(rankers.folder / "ranker.keras")
    for key in ("parameters", "layers", "foreign_operators"):
        assert contents[key] == of_keras_3[key]
    by_name = {tensor["name"]: tensor for tensor in contents["signatures"][0]["inputs"]}
    assert by_name["user"] == {"name": "user", "dtype": "int32", "shape": [None]}
    json.dumps(contents)
