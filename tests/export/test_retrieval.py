"""Files that rank all items: what they answer, against numpy, and what is in them."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import ops

from tfdistill import UserError
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.evaluation import dot_scores, evaluate_ranking, evaluate_retrieval_file, rank_with_file
from tfdistill.export import RETRIEVAL_FORMATS, export_retrieval, inspect_tflite, stored_item_ids
from tfdistill.models import bpr_mf, item_vectors, sas_rec, user_vectors

USERS, ITEMS, WIDTH = 60, 300, 10
TFLITE = [name for name in RETRIEVAL_FORMATS if name != "saved_model"]


def make_dataset(**settings):
    random = np.random.default_rng(5)
    pairs = np.array([(user, item) for user in range(USERS) for item in random.choice(ITEMS, 12, replace=False)])
    part = np.arange(len(pairs)) % 12
    parts = {"train": pairs[part < 8], "validation": pairs[(part == 8) | (part == 9)], "test": pairs[part > 9]}
    return ImplicitDataset(USERS, ITEMS, parts, **settings)


def vectors(seed=1):
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(size=(USERS + ITEMS, 1)))  # popular items have long vectors
    both = (random.normal(size=(USERS + ITEMS, WIDTH)) * sizes).astype(np.float32)
    return both[:USERS], both[USERS:]


def best_by_numpy(user, item, lists, k):
    """(items, scores) [users, k], without the items of the lists."""
    scores = user.astype(np.float64) @ item.T.astype(np.float64)
    for number, row in enumerate(scores):
        row[lists.of(number)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, 1)


def overlap(found, expected):
    return np.mean([len(np.intersect1d(*rows)) / len(rows[1]) for rows in zip(found, expected, strict=True)])


@pytest.fixture(scope="module")
def dataset():
    return make_dataset()


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval")
    return {name: export_retrieval(vectors(), dataset, folder / name, name, k=30) for name in RETRIEVAL_FORMATS}


@pytest.mark.parametrize("format", ["saved_model", "tflite_float32"])
def test_a_file_of_floats_ranks_as_numpy_does(exported, dataset, format):
    items, scores = rank_with_file(exported[format], dataset, k=20, exclude=("train",))
    expected, expected_scores = best_by_numpy(*vectors(), dataset.lists("train"), 20)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


@pytest.mark.parametrize(
    "format, least", [("tflite_float16", 0.99), ("tflite_dynamic_int8", 0.97), ("tflite_weight_only_int8", 0.97)]
)
def test_a_file_of_narrow_numbers_finds_nearly_the_same_items(exported, dataset, format, least):
    items, scores = rank_with_file(exported[format], dataset, k=20, exclude=("train",))
    expected, expected_scores = best_by_numpy(*vectors(), dataset.lists("train"), 20)
    assert overlap(items, expected) >= least
    best = expected_scores[:, :1]
    np.testing.assert_allclose(scores / best, expected_scores / best, atol=0.05)


def test_int4_finds_most_of_the_items(exported, dataset):
    items, _ = rank_with_file(exported["tflite_int4"], dataset, k=20, exclude=("train",))
    assert overlap(items, best_by_numpy(*vectors(), dataset.lists("train"), 20)[0]) > 0.7


@pytest.mark.parametrize("format", ["saved_model", "tflite_float32"])
def test_full_ranking_of_the_file_is_that_of_the_model(exported, dataset, format):
    found = evaluate_retrieval_file(exported[format], dataset, k=(5, 20))
    expected = evaluate_ranking(dot_scores(*vectors()), dataset, k=(5, 20))
    assert "mrr" not in found.metrics
    for name, value in found.metrics.items():
        assert value == pytest.approx(expected[name]), name


def test_both_signatures_of_a_tflite_file_answer_alike(exported, dataset):
    seen = np.full((2, 12), -1, np.int32)
    seen[0, 3] = 7
    for format in TFLITE:
        interpreter = Interpreter(model_path=str(exported[format]))
        many = interpreter.get_signature_runner("serving_default")(user=np.array([4, 9], np.int32), seen=seen)
        first_graph = Interpreter(model_path=str(exported[format]))
        assert all(min(detail["shape_signature"]) > 0 for detail in first_graph.get_input_details())
        one = first_graph.get_signature_runner("serve_one")
        for row in (0, 1):
            alone = one(user=np.array([[4, 9][row]], np.int32), seen=seen[row : row + 1])
            np.testing.assert_array_equal(alone["item"][0], many["item"][row])


def test_integers_are_stored_once_with_a_scale_a_row_and_nothing_else_is_large(tmp_path):
    random = np.random.default_rng(2)
    data = ImplicitDataset(400, 3000, {"train": [[0, 1]], "validation": [], "test": []})
    both = [random.normal(size=(rows, 32)).astype(np.float32) for rows in (400, 3000)]
    path = export_retrieval(both, data, tmp_path / "file.tflite", "tflite_dynamic_int8", k=5)
    contents = inspect_tflite(path)
    types = {layer["name"].split("/")[0]: layer["dtype"] for layer in contents["layers"] if len(layer["shape"]) == 2}
    assert types == {"item_vectors": "int8", "user_vectors": "int8"}
    assert contents["foreign_operators"] == []
    assert contents["bytes"] < 3400 * (32 + 4) + 12_000  # a byte a coordinate, four a row


def test_unknown_users_get_the_most_popular_items_and_are_marked(exported, dataset):
    serve = tf.saved_model.load(str(exported["saved_model"])).signatures["serving_default"]
    answer = serve(user=tf.constant([USERS, 3, -1], tf.int64), k=tf.constant(5))
    np.testing.assert_array_equal(answer["known"], [False, True, False])
    counts = dataset.item_counts("train")
    np.testing.assert_array_equal(answer["item"][0], np.argsort(-counts, kind="stable")[:5])
    np.testing.assert_array_equal(answer["score"][0], np.sort(counts)[::-1][:5])
    np.testing.assert_array_equal(answer["item"][0], answer["item"][2])


def test_a_saved_model_refuses_a_k_that_the_catalogue_has_not(exported):
    serve = tf.saved_model.load(str(exported["saved_model"])).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="input must have at least k columns. Had 300, needed 301"):
        serve(user=tf.constant([1], tf.int64), k=tf.constant(301))


@pytest.mark.parametrize("kind", ["integers", "strings"])
def test_raw_ids_go_in_and_out(tmp_path, kind):
    numbers = np.random.default_rng(0).permutation(1000)[:ITEMS]
    items = numbers + 10 if kind == "integers" else np.array([f"film ä {number}" for number in numbers])
    users = np.arange(USERS) * 3 + 2**40 if kind == "integers" else [f"user {number}" for number in range(USERS)]
    data = make_dataset(user_ids=np.array(users), item_ids=items)
    expected, _ = best_by_numpy(*vectors(), data.lists("train"), 4)
    path = export_retrieval(vectors(), data, tmp_path / "model")
    answer = tf.saved_model.load(str(path)).signatures["serving_default"](
        user=tf.constant(users[7:9]), k=tf.constant(4)
    )
    found = answer["item"].numpy()
    found = found if kind == "integers" else np.char.decode(found.astype(bytes), "utf-8")
    np.testing.assert_array_equal(found, items[expected[7:9]])
    np.testing.assert_array_equal(rank_with_file(path, data, 4, ("train",))[0], expected)
    file = export_retrieval(vectors(), data, tmp_path / "file.tflite", "tflite_float32", k=4)
    assert stored_item_ids(file) == [str(one) for one in items]
    np.testing.assert_array_equal(rank_with_file(file, data, 4, ("train",))[0], expected)


def test_a_file_without_raw_ids_stores_none(exported):
    assert stored_item_ids(exported["tflite_float32"]) is None


def test_places_without_items_are_marked_where_everything_was_seen(tmp_path):
    data = ImplicitDataset(2, 3, {"train": [[0, 0], [0, 2], [1, 1]], "validation": [], "test": [[0, 1]]})
    both = np.ones((2, 1), np.float32), np.array([[1.0], [2.0], [3.0]], np.float32)
    serve = tf.saved_model.load(str(export_retrieval(both, data, tmp_path / "model"))).signatures["serving_default"]
    answer = serve(user=tf.constant([0, 1], tf.int64), k=tf.constant(3))
    np.testing.assert_array_equal(answer["item"], [[1, -1, -1], [2, 0, -1]])
    np.testing.assert_array_equal(answer["score"], [[2, -np.inf, -np.inf], [3, 1, -np.inf]])
    file = export_retrieval(both, data, tmp_path / "file.tflite", "tflite_float32", k=3)
    run = Interpreter(model_path=str(file)).get_signature_runner("serving_default")
    answer = run(user=np.array([0, 1], np.int32), seen=np.array([[0, 2, 2], [-1, 1, 99]], np.int32))
    np.testing.assert_array_equal(answer["item"], [[1, -1, -1], [2, 0, -1]])
    items, _ = rank_with_file(file, data, 3, ("train",))
    np.testing.assert_array_equal(items, [[1, -1, -1], [2, 0, -1]])


def test_users_may_all_be_alike(tmp_path):
    data = ImplicitDataset(3, 4, {"train": [[0, 0], [1, 1]], "validation": [], "test": []})
    both = np.ones((3, 2), np.float32), np.array([[1, 2], [3, 1], [2, 0], [0, 9]], np.float32)
    for format in TFLITE:
        path = export_retrieval(both, data, tmp_path / "file.tflite", format, k=2)
        np.testing.assert_array_equal(rank_with_file(path, data, 2, ("train",))[0], [[3, 1], [3, 0], [3, 1]])


def test_nothing_is_left_out_without_exclude(dataset, tmp_path):
    scores = vectors()[0] @ vectors()[1].T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    path = export_retrieval(vectors(), dataset, tmp_path / "model", exclude=())
    np.testing.assert_array_equal(rank_with_file(path, dataset, 5, ())[0], expected)
    file = export_retrieval(vectors(), dataset, tmp_path / "file.tflite", "tflite_float32", k=5, exclude=())
    assert [one["name"] for one in inspect_tflite(file)["signatures"][0]["inputs"]] == ["user"]
    np.testing.assert_array_equal(rank_with_file(file, dataset, 5, ())[0], expected)
    longer, _ = rank_with_file(path, dataset, 5, ("train",))  # what the file does not leave out is taken out afterwards
    np.testing.assert_array_equal(longer, best_by_numpy(*vectors(), dataset.lists("train"), 5)[0])
    with pytest.raises(UserError, match="returns 5 items.*Export it with a larger k"):
        rank_with_file(file, dataset, 5, ("train",))


def test_the_users_vector_can_be_an_input_and_no_user_is_then_in_the_file(dataset, tmp_path):
    path = export_retrieval(vectors(), dataset, tmp_path / "f.tflite", "tflite_float32", k=9, user_input="vector")
    expected, _ = best_by_numpy(*vectors(), dataset.lists("train"), 9)
    found, _ = rank_with_file(path, dataset, 9, ("train",), user_vectors=vectors()[0])
    np.testing.assert_array_equal(found, expected)
    assert [layer["shape"] for layer in inspect_tflite(path)["layers"]] == [[ITEMS, WIDTH]]
    with pytest.raises(ValueError, match="`user_vectors` are needed"):
        rank_with_file(path, dataset, 9)


def test_a_bias_does_not_coarsen_what_is_rounded(dataset, tmp_path):
    model = bpr_mf(USERS, ITEMS, WIDTH, item_bias=True)
    random = np.random.default_rng(3)
    for weight in model.weights:
        scale = 0.5 if "bias" in weight.path else 0.02
        weight.assign(random.normal(scale=scale, size=weight.shape))
    user, item = (model.get_layer(name).layers for name in ("user_tower", "item_tower"))
    user = next(layer for layer in user if layer.weights).get_weights()[0]
    item = {layer.name: layer.get_weights()[0] for layer in item if layer.weights}
    bias = item.pop("item_bias")
    user, item = np.hstack([user, np.ones((USERS, 1))]), np.hstack([*item.values(), bias])
    expected, expected_scores = best_by_numpy(user, item, dataset.lists("train"), 20)
    path = export_retrieval(model, dataset, tmp_path / "file.tflite", "tflite_dynamic_int8", k=20)
    found, scores = rank_with_file(path, dataset, 20, ("train",))
    assert overlap(found, expected) > 0.99
    np.testing.assert_allclose(scores, expected_scores, atol=2e-4)  # the products are about .001


@keras.saving.register_keras_serializable("tests")
class Fading(keras.layers.Layer):
    """Sums rows, each place before another with half the weight; padding counts nothing."""

    def call(self, rows, history):
        place = ops.arange(history.shape[1], dtype="float32")
        weight = 2.0 ** (place - history.shape[1]) * ops.cast(history > 0, "float32")
        return ops.sum(rows * weight[..., None], axis=1)


LENGTH = 6


def history_model(age=False):
    keras.utils.set_random_seed(4)
    spread = {"embeddings_initializer": keras.initializers.RandomNormal(stddev=1.0)}
    inputs = {"history": keras.Input((LENGTH,), dtype="int32", name="history")}
    rows = keras.layers.Embedding(ITEMS + 1, WIDTH, name="history_rows", **spread)(inputs["history"])
    vector = Fading()(rows, inputs["history"])
    if age:
        inputs["age"] = keras.Input((), dtype="float32", name="age")
        vector = vector + keras.layers.Dense(WIDTH)(keras.layers.Reshape((1,))(inputs["age"]))
    user_tower = keras.Model(inputs, vector, name="user_tower")
    item = keras.Input((), dtype="int32", name="item")
    item_tower = keras.Model({"item": item}, keras.layers.Embedding(ITEMS, WIDTH, **spread)(item), name="item_tower")
    item = keras.Input((), dtype="int32", name="item")
    joined = {name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name) for name, tensor in inputs.items()}
    score = keras.layers.Dot(axes=1, name="score")([user_tower(joined), item_tower({"item": item})])
    return keras.Model({**joined, "item": item}, score)


def histories_of(dataset, *parts):
    table = np.zeros((USERS, LENGTH), np.int32)
    for user in range(USERS):
        recent = dataset.lists(*parts).of(user)[-LENGTH:] + 1
        table[user, LENGTH - len(recent) :] = recent
    return table


def tower_vectors(model, **inputs):
    user_tower, item_tower = model.get_layer("user_tower"), model.get_layer("item_tower")
    return user_tower.predict(inputs, verbose=0), item_tower.predict({"item": np.arange(ITEMS)}, verbose=0)


@pytest.mark.parametrize("parts", [("train",), ("train", "validation")])
def test_a_history_is_ranked_for_and_left_out(dataset, tmp_path, parts):
    model = history_model()
    expected, _ = best_by_numpy(*tower_vectors(model, history=histories_of(dataset, *parts)), dataset.lists(*parts), 20)
    path = export_retrieval(model, dataset, tmp_path / "model")
    np.testing.assert_array_equal(rank_with_file(path, dataset, 20, parts)[0], expected)
    file = export_retrieval(model, dataset, tmp_path / "file.tflite", "tflite_float32", k=20)
    np.testing.assert_array_equal(rank_with_file(file, dataset, 20, parts)[0], expected)
    small = export_retrieval(model, dataset, tmp_path / "small.tflite", "tflite_dynamic_int8", k=20)
    assert overlap(rank_with_file(small, dataset, 20, parts)[0], expected) > 0.9


@pytest.mark.parametrize("format, bytes_an_item", [("tflite_float32", 64 * 4), ("tflite_dynamic_int8", 64 + 4)])
def test_a_table_that_reads_the_history_and_scores_is_stored_once(tmp_path, format, bytes_an_item):
    data, items = make_dataset(), 3000
    data = ImplicitDataset(USERS, items, data.pairs)
    model = sas_rec(items, LENGTH, 64, blocks=1, initializer=keras.initializers.RandomNormal(stddev=0.3, seed=1))
    expected, _ = best_by_numpy(user_vectors(model, data), item_vectors(model, data), data.lists("train"), 20)
    path = export_retrieval(model, data, tmp_path / "file.tflite", format, k=20)
    assert overlap(rank_with_file(path, data, 20, ("train",))[0], expected) > (0.999 if "float" in format else 0.9)
    contents = inspect_tflite(path)
    tables = [layer for layer in contents["layers"] if layer["shape"] == [items, 64]]
    assert [layer["name"].split("/")[0] for layer in tables] == ["item_vectors"]
    blocks = 8 * 64 * 64 * (4 if "float" in format else 1)
    assert contents["bytes"] < items * bytes_an_item + blocks + 45_000


def test_unknown_items_of_a_history_are_skipped_and_one_without_known_items_gets_the_popular(tmp_path):
    data = make_dataset(item_ids=np.array([f"i{number}" for number in range(ITEMS)]))
    path = export_retrieval(history_model(), data, tmp_path / "model")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    plain = serve(history=tf.constant([["i3", "i8"]]), k=tf.constant(5))
    scattered = serve(history=tf.constant([["", "i3", "new", "i8", "", "gone"]]), k=tf.constant(5))
    np.testing.assert_array_equal(plain["item"], scattered["item"])
    assert bool(plain["known"][0])
    nobody = serve(history=tf.constant([["new", ""]]), k=tf.constant(5))
    counts = data.item_counts("train")
    np.testing.assert_array_equal(
        nobody["item"][0].numpy().astype(str), [f"i{n}" for n in np.argsort(-counts, kind="stable")[:5]]
    )
    assert not bool(nobody["known"][0])


def test_other_fields_of_a_tower_with_history_are_inputs_of_the_file(tmp_path):
    age = np.random.default_rng(0).normal(size=USERS).astype(np.float32)
    data = make_dataset(user_features={"age": age})
    model = history_model(age=True)
    history = histories_of(data, "train")
    expected, _ = best_by_numpy(*tower_vectors(model, history=history, age=age), data.lists("train"), 8)
    for path in (
        export_retrieval(model, data, tmp_path / "model"),
        export_retrieval(model, data, tmp_path / "file.tflite", "tflite_float32", k=8),
    ):
        np.testing.assert_array_equal(rank_with_file(path, data, 8, ("train",))[0], expected)


def test_equal_models_make_equal_files(tmp_path):
    data = make_dataset(item_ids=np.arange(ITEMS) + 1)
    files = [export_retrieval(vectors(), data, tmp_path / name, "tflite_dynamic_int8", k=5) for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_tflite_file_is_ranked_with_without_tensorflow(exported):
    code = (
        "import sys, numpy as np\n"
        "from tfdistill.data.implicit import ImplicitDataset\n"
        "from tfdistill.evaluation import rank_with_file\n"
        f"data = ImplicitDataset({USERS}, {ITEMS}, {{'train': [[0, 1]], 'validation': [], 'test': []}})\n"
        f"rank_with_file({str(exported['tflite_dynamic_int8'])!r}, data, 3)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestRefusals:
    def test_arguments(self, dataset, tmp_path):
        both = vectors()
        for settings, message in [
            ({"format": "tflite"}, "`format` must be one of"),
            ({"format": "tflite_int8"}, "256 values, too few to rank items by: tflite_dynamic_int8"),
            ({"format": "tflite_float32", "k": 301}, "`k` must be at most the number of items, 300. Received: k=301"),
            ({"k": 0}, "`k` must be a whole number of at least 1. Received: k=0"),
            ({"exclude": "train"}, "`exclude` must be a tuple"),
            ({"exclude": ("seen",)}, "`exclude` must be a tuple"),
            ({"user_input": "id"}, "`user_input` must be one of"),
            ({"seen_length": 0}, "`seen_length` must be a whole number"),
        ]:
            with pytest.raises(ValueError, match=message):
                export_retrieval(both, dataset, tmp_path / "file", **settings)
        assert not list(tmp_path.iterdir())

    def test_vectors(self, dataset, tmp_path):
        user, item = vectors()
        broken = item.copy()
        broken[4, 2] = np.nan
        for model, message in [
            ((user[1:], item), r"user vectors of shape \(60, 10\). Received: \(59, 10\)"),
            ((user, item[:, 1:]), r"user vectors of shape \(60, 9\)"),
            ((user, broken), "finite item vectors. Received: that of item 4 is not"),
            ("model.keras", "must be a Keras 3 retrieval model or the vectors"),
            (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "user_tower and item_tower"),
        ]:
            with pytest.raises(ValueError, match=message):
                export_retrieval(model, dataset, tmp_path / "file")

    def test_ids(self, tmp_path):
        for ids, message in [
            (np.arange(ITEMS) - 1, "item ids: -1 stands for no item"),
            (np.arange(ITEMS) // 2, "item ids: 0 occurs more than once"),
            (np.array([*"ab"] * (ITEMS // 2)), "item ids: 'a' occurs more than once"),
        ]:
            for format in ("saved_model", "tflite_float32"):
                with pytest.raises(UserError, match=message):
                    export_retrieval(vectors(), make_dataset(item_ids=ids), tmp_path / "file", format)
        assert not list(tmp_path.iterdir())

    def test_files(self, dataset, exported, tmp_path):
        (tmp_path / "broken.tflite").write_bytes(exported["tflite_float32"].read_bytes()[:100])
        (tmp_path / "empty").mkdir()
        for path, message in [
            (tmp_path / "broken.tflite", "no TFLite file of export_retrieval"),
            (tmp_path / "empty", "no SavedModel of export_retrieval"),
            (tmp_path / "nowhere", "no TFLite file of export_retrieval"),
        ]:
            with pytest.raises(UserError, match=message):
                rank_with_file(path, dataset, 3)
        smaller = ImplicitDataset(USERS, 20, {"train": [[0, 1]], "validation": [], "test": []})
        for format in ("saved_model", "tflite_float32"):
            with pytest.raises(UserError, match="answers with"):
                rank_with_file(exported[format], smaller, 3)
