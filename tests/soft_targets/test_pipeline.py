"""Soft targets in tf.data: every example gets its own, whatever the order."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.soft_targets import write_soft_targets

ID, LOGITS = "example_id", "teacher_logits"


@pytest.fixture(scope="module", params=["in memory", "in files"])
def memory_limit(request):
    return 2**31 if request.param == "in memory" else 0


@pytest.fixture(scope="module")
def soft_targets(tmp_path_factory, teacher, data):
    folder = tmp_path_factory.mktemp("cache") / "soft"
    return write_soft_targets(folder, teacher, *data, batch_size=16, shard_rows=30, features=["hidden"])


def batches(data, size=8, form="x_y", drop=False):
    inputs, example_id = data
    x = {**inputs, ID: example_id}
    columns = {"x": x, "x_y": (x, example_id), "x_y_weight": (x, example_id, example_id)}[form]
    return tf.data.Dataset.from_tensor_slices(columns).shuffle(100, seed=3).batch(size, drop)


@pytest.mark.parametrize("form", ["x", "x_y", "x_y_weight"])
def test_every_example_gets_its_own(soft_targets, data, answers, memory_limit, form):
    row_of = {int(one): row for row, one in enumerate(data[1])}
    seen = 0
    for element in soft_targets.attach(batches(data, form=form), memory_limit=memory_limit):
        x = element[0] if form != "x" else element
        assert set(x) == {"price", "shop", ID, LOGITS, "teacher_hidden"}
        rows = [row_of[one] for one in x[ID].numpy()]
        np.testing.assert_allclose(x[LOGITS], answers[rows], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(x["teacher_hidden"], soft_targets.lookup(x[ID])["hidden"])
        if form != "x":
            np.testing.assert_array_equal(element[-1], x[ID])
        seen += len(rows)
    assert seen == 100


@pytest.mark.parametrize("drop, batch", [(True, 8), (False, None)])
def test_shapes_stay_known(soft_targets, data, memory_limit, drop, batch):
    attached = soft_targets.attach(batches(data, drop=drop), memory_limit=memory_limit)
    spec = attached.element_spec[0]
    assert spec[LOGITS] == tf.TensorSpec([batch, 5], tf.float32)
    assert spec["teacher_hidden"] == tf.TensorSpec([batch, 6], tf.float32)
    assert attached.cardinality() == batches(data, drop=drop).cardinality()


@pytest.mark.parametrize("top_k, dtype", [(None, "float16"), (2, "float32"), (2, "float16")])
def test_every_way_of_storing_comes_out_as_lookup_gives_it(tmp_path, teacher, data, memory_limit, top_k, dtype):
    stored = write_soft_targets(
        tmp_path / "soft", teacher, *data, batch_size=16, shard_rows=30, top_k=top_k, dtype=dtype
    )
    attached = stored.attach(batches(data, drop=True), memory_limit=memory_limit)
    assert attached.element_spec[0][LOGITS] == tf.TensorSpec([8, 5], tf.float32)
    for x, _ in attached:
        np.testing.assert_array_equal(x[LOGITS], stored.lookup(x[ID])["logits"])


@pytest.mark.parametrize(
    "cast", [lambda ids: tf.cast(ids, tf.int32), lambda ids: ids[:, None]], ids=["int32", "column"]
)
def test_ids_may_be_narrow_and_columns(soft_targets, data, cast):
    dataset = batches(data).map(lambda x, y: ({**x, ID: cast(x[ID])}, y))
    for x, y in soft_targets.attach(dataset):
        np.testing.assert_array_equal(x[LOGITS], soft_targets.lookup(y)["logits"])


def test_columns_are_named_as_asked(soft_targets, data):
    dataset = batches(data).map(lambda x, y: ({"key": x.pop(ID), **x}, y))
    attached = soft_targets.attach(dataset, id_key="key", column="soft", features={"hidden": "hint"})
    assert set(attached.element_spec[0]) == {"key", "price", "shop", "soft", "hint"}
    assert set(soft_targets.attach(batches(data), features=[]).element_spec[0]) == {ID, "price", "shop", LOGITS}


def test_random_augmentation_is_refused(soft_targets, data):
    def noisy(x, y):
        return {**x, "price": x["price"] + tf.random.normal(tf.shape(x["price"]), stddev=0.01)}, y

    with pytest.raises(ValueError, match="'price' of 8 of 8 examples, .* random augmentation: ask a live teacher"):
        soft_targets.attach(batches(data).map(noisy))
    soft_targets.attach(batches(data).map(noisy), check_inputs=False)


def test_an_array_that_had_no_name_is_compared_with_the_only_column(tmp_path):
    pictures = np.random.default_rng(0).random((20, 4, 4), "float32")
    stored = write_soft_targets(tmp_path / "soft", lambda x: x[:, 0], pictures, np.arange(20), fingerprint="first row")
    dataset = tf.data.Dataset.from_tensor_slices({ID: np.arange(20), "picture": pictures}).batch(4)
    stored.attach(dataset)
    with pytest.raises(ValueError, match="is not what the teacher"):
        stored.attach(dataset.map(lambda x: {**x, "picture": x["picture"][:, ::-1]}))


def test_unknown_ids_stop_at_once_and_later(soft_targets, data, memory_limit):
    def from_id(limit):
        return batches(data, size=100).map(
            lambda x, y: ({**x, ID: tf.where(x[ID] > limit, tf.constant(5000, tf.int64), x[ID])}, y)
        )

    with pytest.raises(ValueError, match=r"no answer for 1 of the ids, such as \[5000\]"):
        soft_targets.attach(from_id(0), memory_limit=memory_limit)
    later = batches(data).concatenate(from_id(0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="has no answer for the ids"):
        list(soft_targets.attach(later, memory_limit=memory_limit))


@pytest.mark.parametrize(
    "change, settings, message",
    [
        (lambda x, y: x["price"], {}, "must be a dict with the id column 'example_id'"),
        (lambda x, y: x, {"id_key": "id"}, "must be a dict with the id column 'id'"),
        (lambda x, y: {**x, ID: tf.as_string(x[ID])}, {}, "must hold integers"),
        (lambda x, y: {**x, ID: x[ID][:, None] * [[1, 2]]}, {}, "must be one integer an example"),
        (lambda x, y: {**x, LOGITS: y}, {}, r"have columns \['teacher_logits'\] already"),
        (lambda x, y: x, {"features": {"hidden": LOGITS}}, r"have columns .*'teacher_logits'\] already"),
        (lambda x, y: x, {"features": ["hiden"]}, r"\['hiden'\] are not in the cache. It has: \['hidden'\]"),
    ],
)
def test_what_cannot_be_attached_is_told(soft_targets, data, change, settings, message):
    with pytest.raises(ValueError, match=message):
        soft_targets.attach(batches(data).map(change), **settings)


def test_single_examples_are_refused(soft_targets, data):
    with pytest.raises(ValueError, match=r"call dataset.batch\(...\) first"):
        soft_targets.attach(batches(data).unbatch())
