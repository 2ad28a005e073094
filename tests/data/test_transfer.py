import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.transfer import mix_transfer_set


def rows(start, stop):
    """Rows that tell themselves apart in every column."""
    numbers = np.arange(start, stop)
    return {"id": numbers.astype(np.int32), "bag": np.stack([numbers, -numbers], 1).astype(np.float32)}


def labels(count):
    return np.arange(count, dtype=np.float32)[:, None] % 2


@pytest.fixture
def labeled():
    return tf.data.Dataset.from_tensor_slices((rows(0, 12), labels(12))).batch(4, drop_remainder=True)


def unlabeled_ids(batches, size):
    return [batch[0]["id"].numpy()[size:].tolist() for batch in batches]


def test_a_batch_is_the_labeled_one_and_behind_it_its_share_of_unlabeled_examples(labeled):
    mixed = mix_transfer_set(labeled, rows(100, 150), 1.5, -1)
    assert int(mixed.cardinality()) == 3
    for (x, y), (x_before, y_before) in zip(mixed, labeled, strict=True):
        np.testing.assert_array_equal(x["id"][:4], x_before["id"])
        np.testing.assert_array_equal(x["bag"][:4], x_before["bag"])
        np.testing.assert_array_equal(y[:4], y_before)
        assert (x["id"].numpy()[4:] >= 100).all()
        np.testing.assert_array_equal(y[4:], np.full((6, 1), -1.0))
        np.testing.assert_array_equal(x["bag"][:, 0], x["id"])  # rows stay together
        np.testing.assert_array_equal(x["bag"][:, 1], -x["id"].numpy())


def test_batches_of_static_size_stay_so(labeled):
    x, y = mix_transfer_set(labeled, rows(0, 5), 0.5, -1).element_spec
    assert x["bag"] == tf.TensorSpec((6, 2), tf.float32)
    assert x["id"] == tf.TensorSpec((6,), tf.int32)
    assert y == tf.TensorSpec((6, 1), tf.float32)
    arrays = mix_transfer_set((rows(0, 12), labels(12)), rows(0, 5), 0.5, -1, batch_size=4)
    assert arrays.element_spec == (x, y)


def as_dataset(x, batch):
    return tf.data.Dataset.from_tensor_slices(x).batch(batch)


@pytest.mark.parametrize("form", [lambda x: x, lambda x: as_dataset(x, 3), lambda x: as_dataset(x, 100)])
def test_every_example_comes_once_before_any_comes_again_epochs_after_epochs(labeled, form):
    # 7 examples, 4 a batch, 3 batches an epoch: 7 epochs take each 12 times, and epochs go on in the middle of a pass.
    mixed = mix_transfer_set(labeled, form(rows(100, 107)), 1, -1, seed=3)
    taken = [number for _ in range(7) for ids in unlabeled_ids(mixed, 4) for number in ids]
    passes = [taken[start : start + 7] for start in range(0, 84, 7)]
    for one in passes:
        assert sorted(one) == list(range(100, 107))
    assert len(set(map(tuple, passes))) > 6


def test_a_set_larger_than_an_epoch_takes_gives_fresh_examples_every_epoch(labeled):
    mixed = mix_transfer_set(labeled, as_dataset(rows(100, 136), 5), 1, -1)
    taken = [number for _ in range(3) for ids in unlabeled_ids(mixed, 4) for number in ids]
    assert sorted(taken) == list(range(100, 136))


@pytest.mark.parametrize("form", [lambda x: x, lambda x: as_dataset(x, 3)])
def test_equal_seeds_give_equal_epochs_and_others_do_not(labeled, form):
    def epochs(seed):
        mixed = mix_transfer_set(labeled, form(rows(100, 140)), 1, -1, seed=seed)
        return [unlabeled_ids(mixed, 4) for _ in range(2)]

    first = epochs(1)
    assert first == epochs(1)
    assert first != epochs(2)
    assert first[0] != first[1]


def test_a_look_at_the_first_batch_takes_no_more_than_that_batch(labeled):
    mixed = mix_transfer_set(labeled, rows(100, 148), 1, -1)
    taken = [next(iter(mixed))[0]["id"].numpy()[4:].tolist() for _ in range(12)]
    assert sorted(sum(taken, [])) == list(range(100, 148))


def test_labeled_arrays_are_shuffled_anew_every_epoch_and_the_last_batch_may_be_smaller():
    mixed = mix_transfer_set((rows(0, 10), labels(10), None), rows(100, 200), np.float32(0.6), -1, batch_size=4, seed=1)
    assert int(mixed.cardinality()) == 3
    epochs = []
    for _ in range(2):
        batches = list(mixed)
        assert [len(y) for _, y in batches] == [6, 6, 3]
        assert [int((y.numpy() == -1).sum()) for _, y in batches] == [2, 2, 1]
        for x, y in batches:
            kept = y.numpy()[:, 0] >= 0
            np.testing.assert_array_equal(x["id"].numpy()[kept] % 2, y.numpy()[kept, 0])
        epochs.append([int(number) for x, _ in batches for number in x["id"] if number < 100])
        assert sorted(epochs[-1]) == list(range(10))
    assert epochs[0] != epochs[1] and sorted(epochs[0]) != epochs[0]


@pytest.mark.parametrize("batch_size", [None, 4])
def test_batches_without_a_static_size_get_their_share_each(batch_size):
    labeled = tf.data.Dataset.from_tensor_slices((rows(0, 11), labels(11))).batch(4)
    for form in (rows(100, 105), as_dataset(rows(100, 105), 2)):
        mixed = mix_transfer_set(labeled, form, 2, -1, batch_size=batch_size)
        assert mixed.element_spec[1].shape == (None, 1)
        assert [len(y) for _, y in mixed] == [12, 12, 9]


def test_a_batch_larger_than_the_first_asks_for_the_largest():
    pieces = [tf.data.Dataset.from_tensors((rows(0, size), labels(size))) for size in (2, 3)]
    spec = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), pieces[0].element_spec)
    labeled = tf.data.Dataset.from_generator(
        lambda: iter([next(iter(piece)) for piece in pieces]), output_signature=spec
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 2 rows. Pass the largest as `batch_size`"):
        list(mix_transfer_set(labeled, rows(0, 5), 1, -1))
    assert [len(y) for _, y in mix_transfer_set(labeled, rows(0, 5), 1, -1, batch_size=3)] == [4, 6]


def test_every_label_gets_the_value_in_its_own_dtype_and_every_weight_is_one():
    y = {
        "click": np.zeros((8, 1), np.float32),
        "kind": np.arange(8, dtype=np.int64),
        "scores": np.zeros((8, 3), np.float16),
    }
    weight = {name: np.full(8, 0.5, np.float32) for name in y}
    mixed = mix_transfer_set((np.zeros((8, 2)), y, weight), np.ones((5, 2)), 0.5, -1, batch_size=4)
    for x, y, weight in mixed:
        assert x.shape == (6, 2) and (x.numpy()[4:] == 1).all()
        for name, shape, dtype in (
            ("click", (2, 1), "float32"),
            ("kind", (2,), "int64"),
            ("scores", (2, 3), "float16"),
        ):
            assert y[name].dtype == dtype
            np.testing.assert_array_equal(y[name][4:], np.full(shape, -1))
            np.testing.assert_array_equal(weight[name], [0.5] * 4 + [1] * 2)


def test_nan_marks_float_labels(labeled):
    for _, y in mix_transfer_set(labeled, rows(0, 5), 0.25, float("nan")):
        assert np.isnan(y.numpy()[:, 0]).tolist() == [False] * 4 + [True]


def test_ratio_0_gives_the_labeled_data(labeled):
    assert mix_transfer_set(labeled, None, 0, -1) is labeled
    batches = list(mix_transfer_set((rows(0, 10), labels(10)), None, 0.0, -1, batch_size=4))
    assert [len(y) for _, y in batches] == [4, 4, 2]


def test_keras_fit_trains_on_it_for_epochs():
    import keras

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], steps_per_execution=2)
    x = np.ones((16, 2), np.float32)
    mixed = mix_transfer_set((x, np.ones((16, 1), np.float32)), x[:5], 1, 1.0, batch_size=4)
    losses = model.fit(mixed, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]


def refused(match, labeled=None, transfer_set=None, ratio=1, unlabeled_value=-1, **arguments):
    labeled = (rows(0, 4), labels(4)) if labeled is None else labeled
    transfer_set = rows(0, 4) if transfer_set is None else transfer_set
    with pytest.raises(ValueError, match=match):
        mix_transfer_set(labeled, transfer_set, ratio, unlabeled_value, **{"batch_size": 2, **arguments})


@pytest.mark.parametrize("ratio", [-1, float("nan"), float("inf"), True, "2"])
def test_a_ratio_that_is_no_number_of_0_or_more_is_refused(ratio):
    refused(r"`ratio` must be a number of 0 or more. Received: ratio=", ratio=ratio)


def test_a_ratio_that_gives_a_batch_no_example_is_refused():
    refused("`ratio` must give every batch an unlabelled example.*ratio=0.2 for batches of 2", ratio=0.2)


def test_a_transfer_set_unlike_x_is_refused():
    refused("`transfer_set` must have the structure of the x", transfer_set=(rows(0, 4), labels(4)))
    refused("structure of the x of `labeled`, and no labels", transfer_set={"id": np.arange(4, dtype=np.int32)})
    wide = {**rows(0, 4), "id": np.arange(4)}
    refused(r"`transfer_set`\['id'\] must have the dtype.*int32 \(\). Received: int64 \(\)", transfer_set=wide)
    long = {**rows(0, 4), "bag": np.zeros((4, 3), np.float32)}
    refused(r"`transfer_set`\['bag'\] .*float32 \(2,\). Received: float32 \(3,\)", transfer_set=long)
    refused(r"`transfer_set`\['bag'\]", transfer_set=as_dataset(long, 2))


def test_an_empty_or_uneven_transfer_set_is_refused():
    refused("`transfer_set` must be arrays of one length, at least 1", transfer_set=rows(0, 0))
    refused("one length", transfer_set={**rows(0, 4), "id": np.arange(3, dtype=np.int32)})
    refused("at least one batch. Received: an empty", transfer_set=as_dataset(rows(0, 4), 2).take(0))
    refused("`transfer_set` must be nested arrays", transfer_set=object())


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int32", float("nan")),
        ("int32", 0.5),
        ("uint8", -1),
        ("int8", 128),
        ("bool", -1),
        ("float32", None),
        ("int64", True),
    ],
)
def test_a_value_that_the_labels_cannot_hold_is_refused(dtype, value):
    match = (
        f"`unlabeled_value` must be a number that labels of dtype {dtype} can hold.*Received: unlabeled_value={value!r}"
    )
    refused(match, labeled=(rows(0, 4), np.zeros(4, dtype)), unlabeled_value=value)


def test_labeled_data_of_another_kind_are_refused():
    refused("`labeled` must be a tuple", labeled=rows(0, 4))
    refused("`labeled` must be a tuple", labeled=as_dataset(rows(0, 4), 2), batch_size=None)
    refused("`labeled` must be batches of dense", labeled=as_dataset((np.zeros(4), np.zeros(4)), 2).unbatch())
    refused("`labeled` must be arrays of one length", labeled=(rows(0, 4), labels(3)))
    refused("`batch_size` must be given", batch_size=None)


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("batch_size", 2.0), ("seed", -1), ("seed", True)])
def test_a_batch_size_and_a_seed_that_cannot_be_are_refused(name, value):
    refused(f"`{name}` must be an integer.*{name}={value}", **{name: value})
