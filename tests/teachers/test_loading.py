import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller, UserError
from tfdistill.losses import LogitsDistillation
from tfdistill.teachers import fingerprint, load_teacher

FIELDS = {"user": np.array([1, 2, 3]), "age": np.array([0.5, 1.5, 2.5])}


def ranker(activation=None, units=1):
    """A Keras model of two named inputs whose embedding and weights are known: logits = user + 10 age."""
    inputs = {"user_id": keras.Input((), name="user_id", dtype="int32"), "age": keras.Input((1,), name="age")}
    table = keras.layers.Embedding(5, 1, embeddings_initializer=keras.initializers.Constant([[0], [1], [2], [3], [4]]))
    age = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(10.0))(inputs["age"])
    logits = keras.layers.Add()([table(inputs["user_id"]), age])
    if units > 1:
        logits = keras.layers.Concatenate()([logits] * units)
    return keras.Model(inputs, keras.layers.Activation(activation)(logits) if activation else logits)


EXPECTED = np.array([[6.0], [17.0], [28.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    ranker().save(folder / "ranker.keras")
    ranker().export(folder / "ranker", verbose=False)
    return folder


@pytest.mark.parametrize("name", ["ranker.keras", "ranker"])
def test_both_kinds_answer_in_float32_logits_by_our_field_names(folder, name):
    teacher = load_teacher(folder / name, inputs={"user_id": "user"})
    assert sorted(teacher.fields) == ["age", "user"]
    # int64 ids and float64 ages without a last dimension are cast and shaped to what the teacher declares
    logits = teacher({**FIELDS, "unused": np.zeros(3)})
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, EXPECTED)


@pytest.mark.parametrize("name", ["ranker.keras", "ranker"])
def test_missing_inputs_are_listed(folder, name):
    teacher = load_teacher(folder / name)
    with pytest.raises(UserError, match=r"do not have: \['user_id'\]. The data have: \['user', 'age'\]"):
        teacher(FIELDS)


@pytest.mark.parametrize("name", ["ranker.keras", "ranker"])
def test_renamed_inputs_that_the_teacher_does_not_have_are_listed(folder, name):
    with pytest.raises(UserError, match=r"has no inputs \['uid'\]. Its inputs: \['(user_id|age)', '(user_id|age)'\]"):
        load_teacher(folder / name, inputs={"uid": "user"})


@pytest.mark.parametrize("name", ["ranker.keras", "ranker"])
def test_a_field_of_another_kind_is_refused(folder, name):
    teacher = load_teacher(folder / name, inputs={"user_id": "user"})
    for wrong in (np.array(["1", "2", "3"]), np.array([1.0, 2.0, 3.0])):
        with pytest.raises(UserError, match="takes int32 for its input 'user_id', but the field 'user' is"):
            teacher({**FIELDS, "user": wrong})


@pytest.mark.parametrize("name", ["ranker.keras", "ranker"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_loaded_teacher_teaches_inside_a_compiled_step(folder, name, jit_compile):
    teacher = load_teacher(folder / name, inputs={"user_id": "user"})
    student_input = keras.Input((), name="age")
    student = keras.Model({"age": student_input}, keras.layers.Dense(1)(keras.layers.Reshape((1,))(student_input)))
    distiller = Distiller(teacher, student, LogitsDistillation(), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    fields = {name: values.astype("int32" if name == "user" else "float32") for name, values in FIELDS.items()}
    logs = distiller.train_on_batch(fields, return_dict=True)
    expected = LogitsDistillation().compute_loss(EXPECTED, student.predict({"age": fields["age"]}, verbose=0))
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


def test_probabilities_come_back_as_logits(tmp_path):
    ranker("sigmoid").save(tmp_path / "binary.keras")
    fields = {"user_id": np.array([0, 1]), "age": np.array([-0.2, 0.1])}
    logits = load_teacher(tmp_path / "binary.keras", outputs="probabilities")(fields)
    np.testing.assert_allclose(logits, [[-2.0], [2.0]], atol=1e-5)


def test_probabilities_of_a_saved_model_are_clipped(tmp_path):
    ranker("sigmoid").export(tmp_path / "binary", verbose=False)
    fields = {"user_id": np.array([0, 0]), "age": np.array([100.0, -100.0])}
    logits = load_teacher(tmp_path / "binary", outputs="probabilities")(fields)
    # log((1 - 2^-23) / 2^-23) = 23 log 2
    np.testing.assert_allclose(logits, [[15.9424], [-15.9424]], rtol=1e-4)


class Module(tf.Module):
    """Reads raw string ids, as TFRS models do, and returns several outputs."""

    def __init__(self):
        super().__init__()
        self.bias = tf.Variable(1.0)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="movie"), tf.TensorSpec([None, 1], tf.int64, "day")]
    )
    def rank(self, movie, day):
        scores = tf.cast(tf.strings.length(movie), tf.float32) + tf.cast(day[:, 0], tf.float32) + self.bias
        return {"logits": scores, "probabilities": tf.sigmoid(scores)}

    @tf.function(input_signature=[{"movie": tf.TensorSpec([None], tf.string)}])
    def __call__(self, inputs):
        return tf.cast(tf.strings.length(inputs["movie"]), tf.float32) * self.bias


MOVIES = {"movie": np.array(["Heat", "Up"]), "day": np.array([10, 20], "int32")}


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_string_ids_pass_and_the_output_of_the_right_name_is_taken(tmp_path, outputs):
    module = Module()
    tf.saved_model.save(module, str(tmp_path / "module"), signatures={"rank": module.rank})
    teacher = load_teacher(tmp_path / "module", signature="rank", outputs=outputs)
    expected = [[15.0], [23.0]] if outputs == "logits" else [[15.0], [15.94]]  # clipped
    np.testing.assert_allclose(teacher(MOVIES), expected, rtol=5e-3)
    # the only signature needs no name
    np.testing.assert_allclose(load_teacher(tmp_path / "module")(MOVIES), [[15.0], [23.0]])


def test_other_outputs_of_a_signature_are_features(tmp_path):
    module = Module()
    tf.saved_model.save(module, str(tmp_path / "module"), signatures={"rank": module.rank})
    teacher = load_teacher(tmp_path / "module")
    outputs = teacher.feature_outputs(MOVIES, ["probabilities"])
    np.testing.assert_allclose(outputs[None], [[15.0], [23.0]])
    np.testing.assert_allclose(outputs["probabilities"], 1 / (1 + np.exp([-15.0, -23.0])))
    with pytest.raises(
        UserError, match=r"no outputs \['hidden'\] to compare. Its outputs: \['logits', 'probabilities'\]"
    ):
        teacher.feature_outputs(MOVIES, ["hidden"])


def test_layers_of_a_keras_file_are_features(rankers):
    for name in ("ranker.keras", "ranker.h5"):
        teacher = load_teacher(rankers.folder / name)
        outputs = teacher.feature_outputs(rankers.inputs, ["hidden", "norm"])
        np.testing.assert_allclose(outputs[None], rankers.logits, atol=1e-5)
        np.testing.assert_allclose(outputs["hidden"], rankers.hidden, rtol=1e-5)
        with pytest.raises(ValueError, match="no layer named 'hiden'.*'hidden'"):
            teacher.feature_outputs(rankers.inputs, ["hiden"])


def test_a_model_of_one_input_takes_a_tensor(folder, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.save(tmp_path / "one.keras")
    model.export(tmp_path / "one", verbose=False)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    for name in ("one.keras", "one"):
        np.testing.assert_allclose(load_teacher(tmp_path / name)(x), model.predict(x, verbose=0), rtol=1e-5)
    for inputs in (x, [x, x]):
        with pytest.raises(UserError, match=r"needs a dict of inputs, \['(user_id|age)', '(user_id|age)'\]. Received:"):
            load_teacher(folder / "ranker.keras")(inputs)


def test_without_a_default_signature_the_model_itself_is_called(tmp_path):
    module = Module()
    signatures = {"one": module.rank, "two": module.rank}
    tf.saved_model.save(module, str(tmp_path / "module"), signatures=signatures)
    teacher = load_teacher(tmp_path / "module")
    assert teacher.fields == ("movie",)
    np.testing.assert_allclose(teacher(MOVIES), [[4.0], [2.0]])
    with pytest.raises(UserError, match=r"no signature 'three'. Its signatures: \['one', 'two'\]"):
        load_teacher(tmp_path / "module", signature="three")


def test_a_saved_model_that_takes_no_dict_lists_its_signatures(tmp_path):
    class Plain(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None])])
        def __call__(self, inputs):
            return inputs

    module = Plain()
    signatures = {"one": module.__call__, "two": module.__call__}
    tf.saved_model.save(module, str(tmp_path / "plain"), signatures=signatures)
    with pytest.raises(UserError, match=r"Its signatures: \['one', 'two'\]"):
        load_teacher(tmp_path / "plain")


def test_nothing_there_and_another_kind_of_file_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="No teacher at"):
        load_teacher(tmp_path / "absent.keras")
    (tmp_path / "weights.ckpt").write_bytes(b"123")
    for path in (tmp_path, tmp_path / "weights.ckpt"):
        with pytest.raises(UserError, match="neither a .keras or .h5 file nor a SavedModel folder"):
            load_teacher(path)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_keras_file_that_was_cut_off_is_told(folder, tmp_path, keep):
    content = (folder / "ranker.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: keep if keep > 1 else int(keep * len(content))])
    with pytest.raises(UserError, match="cut off"):
        load_teacher(tmp_path / "cut.keras")


def test_a_keras_file_with_damaged_bytes_is_told(folder, tmp_path):
    content = bytearray((folder / "ranker.keras").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
    (tmp_path / "damaged.keras").write_bytes(content)
    with pytest.raises(UserError, match="'model.weights.h5' in it is damaged"):
        load_teacher(tmp_path / "damaged.keras")


def test_a_keras_file_without_a_model_in_it_is_told(tmp_path):
    for name, content in (("other.txt", "hello"), ("config.json", "{")):
        with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(UserError, match="no config.json|cannot be read"):
            load_teacher(tmp_path / "other.keras")


def test_a_damaged_saved_model_is_told(folder, tmp_path):
    ranker().export(tmp_path / "ranker", verbose=False)
    variables = tmp_path / "ranker" / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:10])
    with pytest.raises(UserError, match="cannot be read"):
        load_teacher(tmp_path / "ranker")
    (tmp_path / "ranker" / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(UserError, match="cannot be read"):
        load_teacher(tmp_path / "ranker")


def test_a_lambda_is_refused_and_the_way_out_told(tmp_path):
    inputs = keras.Input((1,), name="age")
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(tmp_path / "lambda.keras")
    with pytest.raises(UserError, match=r"needs code that is not loaded from a file \(a Python lambda\).*SavedModel"):
        load_teacher(tmp_path / "lambda.keras")


def test_a_class_that_is_not_registered_is_named(tmp_path):
    class Doubled(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    inputs = keras.Input((1,), name="age")
    keras.Model(inputs, Doubled()(inputs)).save(tmp_path / "custom.keras")
    with pytest.raises(UserError, match=r"\(Could not locate class 'Doubled'\).*register_keras_serializable"):
        load_teacher(tmp_path / "custom.keras")


def test_registered_classes_load_and_undeclared_inputs_are_passed_on(tmp_path):
    @keras.saving.register_keras_serializable(package="tests")
    class Sum(keras.Model):
        def call(self, inputs):
            return inputs["a"] + inputs["b"]

    model = Sum()
    model({"a": np.ones((2, 1)), "b": np.ones((2, 1))})
    model.save(tmp_path / "sum.keras")
    teacher = load_teacher(tmp_path / "sum.keras", inputs={"a": "age"})
    assert teacher.fields is None
    np.testing.assert_allclose(teacher({"age": tf.ones((2, 1)), "b": 2 * tf.ones((2, 1))}), [[3.0], [3.0]])


def test_wrong_arguments_are_named(folder):
    with pytest.raises(ValueError, match="outputs='scores'"):
        load_teacher(folder / "ranker", outputs="scores")
    with pytest.raises(ValueError, match="task='regression'"):
        load_teacher(folder / "ranker", task="regression")
    with pytest.raises(ValueError, match="`signature` is for SavedModels"):
        load_teacher(folder / "ranker.keras", signature="serve")


def test_one_file_read_in_two_ways_is_two_teachers(tmp_path):
    path = tmp_path / "teacher.keras"
    keras.Sequential([keras.Input((2,), name="a"), keras.layers.Dense(1)]).save(path)
    plain = load_teacher(path)
    assert plain.fingerprint() == load_teacher(path, task="auto").fingerprint() == fingerprint(path)
    others = {
        load_teacher(path, outputs="probabilities").fingerprint(),
        load_teacher(path, inputs={"a": "b"}).fingerprint(),
    }
    assert len(others | {plain.fingerprint()}) == 3
