import numpy as np
import pytest

from tfdistill.data import encode, iterate, pair_expander, split, synthetic, train_batches


@pytest.fixture(scope="module")
def columns():
    x = {"a": np.arange(103, dtype=np.int32), "bag": np.arange(206).reshape(103, 2)}
    return x, np.arange(103, dtype=np.float32), np.arange(103, dtype=np.float32) * 2


def order(batches):
    return np.concatenate([batch[0]["a"].numpy() for batch in batches]).tolist()


def test_an_epoch_holds_every_row_at_most_once_in_batches_of_static_shape(columns):
    batches = train_batches(columns, 10, seed=1, epoch=0)
    assert int(batches.cardinality()) == 10
    assert batches.element_spec[0]["bag"].shape == (10, 2)
    seen = order(batches)
    assert len(seen) == 100 and len(set(seen)) == 100 and seen != sorted(seen)


def test_the_last_rows_come_too_when_asked(columns):
    batches = train_batches(columns, 10, seed=1, epoch=0, drop_remainder=False)
    assert int(batches.cardinality()) == 11
    assert sorted(order(batches)) == list(range(103))


def test_rows_stay_together(columns):
    for x, y, weight in train_batches(columns, 10, seed=1, epoch=0):
        np.testing.assert_array_equal(x["a"], y)
        np.testing.assert_array_equal(x["bag"][:, 0], 2 * y)
        np.testing.assert_array_equal(weight, 2 * y)


def test_the_order_follows_seed_and_epoch_and_nothing_else(columns):
    first = order(train_batches(columns, 10, seed=1, epoch=3))
    assert first == order(train_batches(columns, 10, seed=1, epoch=3))
    assert first != order(train_batches(columns, 10, seed=1, epoch=4))
    assert first != order(train_batches(columns, 10, seed=2, epoch=3))


def test_a_dict_alone_is_batched_as_a_dict():
    (batch,) = train_batches({"a": np.arange(4)}, 4, seed=0, epoch=0)
    assert sorted(batch["a"].numpy()) == [0, 1, 2, 3]


def test_keras_fit_takes_the_batches():
    import keras

    inputs = keras.Input((), name="a")
    model = keras.Model({"a": inputs}, keras.layers.Dense(1)(keras.layers.Reshape((1,))(inputs)))
    model.compile("sgd", "mse")
    columns = ({"a": np.ones(64, np.float32)}, np.ones((64, 1), np.float32), np.ones(64, np.float32))
    history = model.fit(train_batches(columns, 16, seed=0, epoch=0), verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_pairs_are_expanded_to_what_the_data_set_gives_and_other_columns_pass():
    interactions = synthetic(seed=1, users=60, items=40, interactions=900)
    dataset = encode(interactions, split(interactions, "temporal"))
    rows = np.arange(900)
    assert dataset.unseen["user"] > 0  # so that users beyond the vocabulary are among the rows
    columns = ({**dataset.pairs(rows), "teacher_logits": rows[:, None].astype(np.float32)}, dataset.label)
    seen = 0
    for x, y in train_batches(columns, 100, seed=1, epoch=0, transform=pair_expander(dataset)):
        rows = x.pop("teacher_logits").numpy()[:, 0].astype(int)
        expected = dataset.inputs(rows)
        assert set(x) == set(expected)
        for name, values in expected.items():
            assert x[name].dtype == values.dtype
            np.testing.assert_array_equal(x[name], values)
        np.testing.assert_array_equal(y, dataset.label[rows])
        seen += len(rows)
    assert seen == 900


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_a_batch_size_that_cannot_be_is_refused(columns, batch_size):
    with pytest.raises(ValueError, match="`batch_size`"):
        train_batches(columns, batch_size, seed=1, epoch=0)
    with pytest.raises(ValueError, match="`batch_size`"):
        next(iterate(columns, batch_size))


def test_columns_of_different_lengths_and_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"different lengths.*\[3, 4\]"):
        train_batches((np.zeros(3), np.zeros(4)), 2, seed=0, epoch=0)
    with pytest.raises(ValueError, match="at least one whole batch"):
        train_batches(np.zeros(3), 4, seed=0, epoch=0)


def test_a_negative_seed_is_refused(columns):
    with pytest.raises(ValueError, match="invalid seed"):
        train_batches(columns, 10, seed=-1, epoch=0)


def test_iterate_gives_every_row_once_in_order():
    columns = {"a": np.arange(5), "b": (np.arange(5) * 2, [np.arange(5) * 3])}
    batches = list(iterate(columns, 2))
    assert [batch["a"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert [batch["b"][1][0].tolist() for batch in batches] == [[0, 3], [6, 9], [12]]
