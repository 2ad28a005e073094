"""What a cache holds after writing, from every kind of input and teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.soft_targets import SoftTargets, write_soft_targets
from tfdistill.teachers import Ensemble


def twice(x):
    return 2.0 * x["a"]


X = {"a": np.array([[1.0], [2.0], [3.0], [4.0], [5.0]], "float32")}
IDS = [7, 3, 40, 5, 11]


def test_every_example_is_found_by_its_id(tmp_path, teacher, data, answers):
    inputs, example_id = data
    soft_targets = write_soft_targets(tmp_path / "soft", teacher, inputs, example_id, batch_size=16, shard_rows=30)
    assert len(soft_targets) == 100 and soft_targets.logits_shape == (5,)
    assert len(list((tmp_path / "soft").glob("shard-*"))) == 4  # of 32, 32, 32 and 4 examples
    order = np.random.default_rng(0).integers(0, 100, 300)
    found = soft_targets.lookup(example_id[order])["logits"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, answers[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(soft_targets.example_id, example_id)


def test_progress_tells_how_many_of_how_many(tmp_path):
    told = []
    write_soft_targets(
        tmp_path / "soft",
        twice,
        X,
        IDS,
        fingerprint="x2",
        batch_size=2,
        shard_rows=2,
        on_progress=lambda *n: told.append(n),
    )
    assert told == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    "inputs, example_id",
    [
        ({**X, "example_id": np.array(IDS)}, "example_id"),
        (lambda rows: {"a": X["a"][rows]}, IDS),
        (tf.data.Dataset.from_tensor_slices((IDS, X)).batch(2), None),
        (tf.data.Dataset.from_tensor_slices({**X, "example_id": IDS}).batch(2), "example_id"),
        (tf.data.Dataset.from_tensor_slices(({**X, "example_id": np.array(IDS)[:, None]}, IDS)).batch(2), "example_id"),
        (tf.data.Dataset.from_tensor_slices(({**X, "example_id": IDS}, IDS, IDS)).batch(2, True), "example_id"),
    ],
    ids=["column", "function", "pairs", "x", "x_y", "x_y_weight"],
)
def test_inputs_come_in_every_form(tmp_path, inputs, example_id):
    soft_targets = write_soft_targets(tmp_path / "soft", twice, inputs, example_id, fingerprint="x2", batch_size=2)
    found = soft_targets.lookup([40, 7, 5])["logits"]
    np.testing.assert_array_equal(found, [[6.0], [2.0], [8.0]])


def test_inputs_may_be_an_array_alone_and_logits_flat(tmp_path):
    soft_targets = write_soft_targets(tmp_path / "soft", lambda x: x[:, 0] + 1.0, X["a"], IDS, fingerprint="plus 1")
    np.testing.assert_array_equal(soft_targets.lookup([3, 7])["logits"], [[3.0], [2.0]])


def test_float16_halves_the_size_and_keeps_three_digits(tmp_path, teacher, data, answers):
    whole = write_soft_targets(tmp_path / "whole", teacher, *data)
    half = write_soft_targets(tmp_path / "half", teacher, *data, dtype="float16")
    np.testing.assert_array_equal(half.lookup(data[1])["logits"], answers.astype("float16").astype("float32"))
    sizes = [(path.path / "shard-00000" / "logits.npy").stat().st_size - 128 for path in (whole, half)]
    assert sizes == [100 * 5 * 4, 100 * 5 * 2]


def test_features_of_layers_are_kept_too(tmp_path, teacher, data):
    soft_targets = write_soft_targets(tmp_path / "soft", teacher, *data, features=["hidden"], batch_size=40)
    hidden = keras.Model(teacher.input, teacher.get_layer("hidden").output)
    assert soft_targets.features == {"hidden": (6,)}
    found = soft_targets.lookup(data[1][::-1])["hidden"]
    np.testing.assert_allclose(found, hidden.predict(data[0], verbose=0)[::-1], rtol=1e-5, atol=1e-6)


def test_a_teacher_compiled_with_xla_says_the_same(tmp_path, teacher, data):
    plain = write_soft_targets(tmp_path / "plain", teacher, *data, top_k=2, features=["hidden"], batch_size=32)
    compiled = keras.models.clone_model(teacher)
    compiled.set_weights(teacher.get_weights())
    compiled.compile(jit_compile=True)
    found = write_soft_targets(tmp_path / "xla", compiled, *data, top_k=2, features=["hidden"], batch_size=32)
    for name, values in plain.lookup(data[1]).items():
        np.testing.assert_allclose(found.lookup(data[1])[name], values, rtol=1e-4, atol=1e-5)


def test_probabilities_become_logits(tmp_path):
    soft_targets = write_soft_targets(
        tmp_path / "soft", lambda x: tf.constant([[0.75]]), {"a": X["a"][:1]}, [1], fingerprint="3/4", from_logits=False
    )
    np.testing.assert_allclose(soft_targets.lookup([1])["logits"], [[np.log(3.0)]], rtol=1e-6)


def test_a_list_of_teachers_is_their_mean(tmp_path, teacher, data, answers):
    other = keras.models.clone_model(teacher)
    soft_targets = write_soft_targets(tmp_path / "soft", [teacher, other], *data)
    expected = (answers + other.predict(data[0], verbose=0)) / 2.0
    np.testing.assert_allclose(soft_targets.lookup(data[1])["logits"], expected, rtol=1e-4, atol=1e-6)


def test_a_teacher_may_be_a_file(tmp_path, teacher, data, answers):
    teacher.save(tmp_path / "teacher.keras")
    soft_targets = write_soft_targets(tmp_path / "soft", tmp_path / "teacher.keras", *data, features=["hidden"])
    np.testing.assert_allclose(soft_targets.lookup(data[1])["logits"], answers, rtol=1e-5, atol=1e-6)
    assert len(SoftTargets.open(tmp_path / "soft", teacher=tmp_path / "teacher.keras")) == 100


def test_teachers_that_answer_by_more_than_the_example_are_refused(tmp_path, teacher, data):
    for settings in ({"combine": "random"}, {"weights": "confidence"}):
        with pytest.raises(ValueError, match="depends on more than the example"):
            write_soft_targets(tmp_path / "soft", Ensemble([teacher, teacher], **settings), *data)


def test_classes_ruled_out_stay_ruled_out(tmp_path):
    logits = np.array([[0.5, -np.inf, 1.0]], "float32")
    soft_targets = write_soft_targets(tmp_path / "soft", lambda x: x, logits, [1], fingerprint="mask")
    np.testing.assert_array_equal(soft_targets.lookup([1])["logits"], logits)


@pytest.mark.parametrize(
    "value, dtype", [(np.nan, "float32"), (np.inf, "float32"), (7e4, "float16"), (-7e4, "float16")]
)
@pytest.mark.parametrize("top_k", [None, 1])
def test_answers_that_cannot_teach_are_refused(tmp_path, value, dtype, top_k):
    logits = np.array([[1.0, 2.0], [value, value]], "float32")
    with pytest.raises(ValueError, match="answers to 1 of 2 examples, such as id 8"):
        write_soft_targets(tmp_path / "soft", lambda x: x, logits, [7, 8], fingerprint="x", dtype=dtype, top_k=top_k)


@pytest.mark.parametrize("batches", [False, True])
def test_ids_that_repeat_are_refused(tmp_path, batches):
    inputs = tf.data.Dataset.from_tensor_slices(([7, 3, 5, 3, 11], X)).batch(2) if batches else X
    with pytest.raises(ValueError, match=r"1 ids come more than once, such as \[3\]"):
        write_soft_targets(
            tmp_path / "soft", twice, inputs, None if batches else [7, 3, 5, 3, 11], fingerprint="x2", shard_rows=2
        )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"top_k": 0}, "`top_k` must be a positive integer or None. Received: top_k=0"),
        ({"dtype": "int8"}, "`dtype` must be one of 'float32', 'float16'. Received: dtype='int8'"),
        ({"shard_rows": -1}, "`shard_rows` must be a positive integer. Received: shard_rows=-1"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"fingerprint": None}, "`fingerprint` is needed for a teacher that is a plain callable"),
        ({"fingerprint": ""}, "`fingerprint` must be a text or None"),
        ({"features": ["logits"]}, "none 'logits'"),
        ({"example_id": [1, 2]}, "must have the same length. Received: lengths \\[5\\] and 2"),
        ({"example_id": ["u", "v", "w", "x", "y"]}, "`example_id` must be integers"),
        ({"example_id": None}, "`example_id` is needed"),
        ({"example_id": "id"}, "no column 'id'. Received: the columns \\['a'\\]"),
        ({"task": "ranking"}, "`task` must be one of"),
    ],
)
def test_wrong_arguments_are_told(tmp_path, arguments, message):
    arguments = {"example_id": IDS, "fingerprint": "x2", **arguments}
    with pytest.raises(ValueError, match=message):
        write_soft_targets(tmp_path / "soft", twice, X, **arguments)
    assert not (tmp_path / "soft").exists()


@pytest.mark.parametrize(
    "dataset, example_id, message",
    [
        (tf.data.Dataset.from_tensor_slices((IDS, X)), None, "dataset.batch"),
        (tf.data.Dataset.from_tensor_slices((IDS, X)).batch(2).repeat(), None, "finite"),
        (tf.data.Dataset.from_tensor_slices(X).batch(2), None, "batches of 1 parts"),
        (tf.data.Dataset.from_tensor_slices(X).batch(2), "example_id", "a dict with the id column 'example_id'"),
        (tf.data.Dataset.from_tensor_slices({**X, "b": ["u"] * 5}).batch(2), "b", "must hold integers"),
        (tf.data.Dataset.from_tensor_slices((IDS, X)).batch(2), IDS, "must be the name of its column"),
    ],
)
def test_datasets_that_cannot_be_labelled_are_told(tmp_path, dataset, example_id, message):
    with pytest.raises(ValueError, match=message):
        write_soft_targets(tmp_path / "soft", twice, dataset, example_id, fingerprint="x2")


def test_nothing_to_label_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one example"):
        write_soft_targets(
            tmp_path / "soft", twice, {"a": np.zeros((0, 1), "float32")}, np.zeros(0, int), fingerprint="x2"
        )


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("Chapter 1")
    with pytest.raises(ValueError, match="holds other things, such as 'thesis.tex'"):
        write_soft_targets(tmp_path, twice, X, IDS, fingerprint="x2")
    with pytest.raises(ValueError, match="is a file"):
        write_soft_targets(tmp_path / "thesis.tex", twice, X, IDS, fingerprint="x2")
    assert (tmp_path / "thesis.tex").read_text() == "Chapter 1"


def test_an_error_in_the_teacher_comes_out_as_it_was_raised(tmp_path):
    def broken(x):
        raise KeyError("age")

    with pytest.raises(KeyError, match="^'age'$"):
        write_soft_targets(tmp_path / "soft", broken, X, IDS, fingerprint="broken")


def test_what_is_written_opens_again(tmp_path, teacher, data):
    written = write_soft_targets(tmp_path / "soft", teacher, *data, top_k=2, dtype="float16", features=["hidden"])
    opened = SoftTargets.open(tmp_path / "soft", teacher=teacher)
    assert repr(opened) == repr(written)
    for name, values in written.lookup(data[1]).items():
        np.testing.assert_array_equal(opened.lookup(data[1])[name], values)
