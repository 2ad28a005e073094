"""A file that lacks what its model promises is refused: each promise broken on purpose, in the file's own bytes."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tfdistill.errors import UserError
from tfdistill.export import FORMATS, export_tflite, flatbuffer
from tfdistill.export.promises import check_promises, promises_of

INTEGERS = [name for name in FORMATS if "int" in name]


def make_model():
    keras.utils.set_random_seed(1)
    x = keras.Input((), dtype="int32", name="x")
    rows = keras.layers.Embedding(200, 16, name="table")(x)
    hidden = keras.layers.Dense(80, activation="relu", name="hidden")(rows)
    model = keras.Model({"x": x}, keras.layers.Dense(1, name="logits")(hidden))
    random = np.random.default_rng(0)
    table = random.normal(size=(200, 16)) * (random.random((200, 16)) < 0.4)
    kernel = random.choice([-0.4, -0.1, 0.2, 0.3], (16, 80))
    model.get_layer("table").set_weights([table.astype(np.float32)])
    model.get_layer("hidden").set_weights([kernel.astype(np.float32), np.zeros(80, np.float32)])
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def contents(model, tmp_path_factory):
    calibration = {"x": np.arange(200, dtype=np.int32)}
    path = tmp_path_factory.mktemp("promises") / "m.tflite"
    return {name: export_tflite(model, path, name, calibration=calibration).read_bytes() for name in FORMATS}


def changed(content, change):
    """The bytes of a file after `change(model, tensor's name -> its raw bytes, writable)`."""
    model = flatbuffer.parse(content)
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data = np.array(buffer.data, np.uint8)
    tensors = {flatbuffer.tensor_name(t): t for subgraph in model.subgraphs for t in subgraph.tensors if t.name}
    change(model, tensors)
    return flatbuffer.pack(model)


def test_a_model_promises_its_zeros_and_its_shared_values(model):
    first, second = promises_of(model)
    assert (first.path, first.is_sparse, first.distinct) == ("table/embeddings", True, None)
    assert (second.path, second.is_sparse, second.distinct) == ("hidden/kernel", False, 4)


def test_an_ordinary_model_promises_nothing(ranker):
    assert promises_of(ranker) == []


def test_weights_that_the_exported_function_does_not_read_promise_nothing(model):
    assert promises_of(model, used=["table/embeddings"])[0].path == "table/embeddings"
    assert promises_of(model, used=[]) == []


@pytest.mark.parametrize("name", FORMATS)
def test_what_export_writes_keeps_its_promises(model, contents, name):
    check_promises(promises_of(model), contents[name], name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_zero_that_is_none_in_the_file_is_refused(model, contents, name):
    def change(model_in_file, tensors):
        data, zeros = model_in_file.buffers[tensors["table/embeddings"].buffer].data, make_model().get_layer("table")
        (where,) = np.nonzero(zeros.get_weights()[0].reshape(-1) == 0)
        width = len(data) / 3200
        data[int(where[7] * width) : int((where[7] + 2) * width) + 1] ^= 0x22

    with pytest.raises(UserError, match="table/embeddings: .* zeros are not zero in the " + name):
        check_promises(promises_of(model), changed(contents[name], change), name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_value_that_is_shared_no_more_is_refused(model, contents, name):
    def change(model_in_file, tensors):
        data = model_in_file.buffers[tensors["hidden/kernel"].buffer].data
        for place in range(0, len(data) // 2, 7 * (len(data) // 640)):
            data[place] ^= 0x11

    with pytest.raises(UserError, match="hidden/kernel: has 4 distinct values in the model and .* in the " + name):
        check_promises(promises_of(model), changed(contents[name], change), name)


@pytest.mark.parametrize("name", INTEGERS)
def test_a_weight_of_another_type_is_refused(contents, name):
    with pytest.raises(UserError, match=f"table/embeddings|hidden/kernel: is float32 in the {name} file"):
        check_promises([], contents["tflite_float32"], name)


def test_a_float_copy_of_a_table_beside_the_integers_is_refused(contents):
    def change(model, tensors):
        buffer, copy = schema.BufferT(), schema.TensorT()
        buffer.data = np.zeros(3200 * 4, np.uint8)
        model.buffers.append(buffer)
        copy.shape, copy.type, copy.buffer = [200, 16], schema.TensorType.FLOAT32, len(model.buffers) - 1
        copy.name = b"copy"
        model.subgraphs[0].tensors.append(copy)

    with pytest.raises(UserError, match="copy: is float32 in the tflite_int8 file, which promises int8"):
        check_promises([], changed(contents["tflite_int8"], change), "tflite_int8")


def test_a_custom_operator_is_refused(contents):
    def change(model, tensors):
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode = (schema.BuiltinOperator.CUSTOM,) * 2
        code.customCode = b"FlexGather"

    with pytest.raises(UserError, match="cannot run FlexGather"):
        check_promises([], changed(contents["tflite_float32"], change), "tflite_float32")


def test_a_pruned_weight_that_is_nowhere_in_the_file_is_refused(model, contents):
    def change(model_in_file, tensors):
        data = model_in_file.buffers[tensors["table/embeddings"].buffer].data
        data[:] = np.random.default_rng(3).normal(size=3200).astype(np.float32).view(np.uint8)

    with pytest.raises(UserError, match="table/embeddings: is pruned in the model, and no tensor"):
        check_promises(promises_of(model), changed(contents["tflite_float32"], change), "tflite_float32")


def test_a_weight_is_found_without_its_name_and_in_any_order_of_axes(model, contents):
    def change(model_in_file, tensors):
        for tensor in tensors.values():
            tensor.name = b"renamed"

    for name in ("tflite_int8", "tflite_int4"):
        check_promises(promises_of(model), changed(contents[name], change), name)


def test_a_normalisation_in_front_of_a_clustered_kernel_is_told(tmp_path):
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    model = keras.Model(
        {"x": x}, keras.layers.Dense(80, name="hidden")(keras.layers.BatchNormalization(name="norm")(x))
    )
    random = np.random.default_rng(0)
    model.get_layer("norm").set_weights([random.uniform(0.5, 2, 16), np.zeros(16), np.zeros(16), np.ones(16)])
    kernel = random.choice([-0.4, -0.1, 0.2, 0.3], (16, 80)).astype(np.float32)
    model.get_layer("hidden").set_weights([kernel, np.zeros(80)])
    with pytest.raises(UserError, match="hidden/kernel: has 4 distinct values .* normalisation in front"):
        export_tflite(model, tmp_path / "m.tflite", "tflite_int8", calibration={"x": kernel.T})
    assert list(tmp_path.iterdir()) == []


def test_a_normalisation_behind_a_clustered_convolution_is_no_matter(tmp_path):
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4), name="x")
    rows = keras.layers.Conv2D(16, 3, name="conv")(x)
    rows = keras.layers.BatchNormalization(name="norm")(rows)
    model = keras.Model({"x": x}, keras.layers.GlobalAveragePooling2D()(rows))
    random = np.random.default_rng(0)
    model.get_layer("norm").set_weights([random.uniform(0.5, 2, 16), np.zeros(16), np.zeros(16), np.ones(16)])
    kernel = random.choice([-0.4, 0, 0, 0, 0.3], (3, 3, 4, 16)).astype(np.float32)
    model.get_layer("conv").set_weights([kernel, np.zeros(16)])
    for name in ("tflite_float32", "tflite_int8", "tflite_int4"):
        values = {"x": random.normal(size=(10, 8, 8, 4)).astype(np.float32)}
        export_tflite(model, tmp_path / "m.tflite", name, output="logit", calibration=values)
