import numpy as np
import pytest

from tfdistill.data import ImplicitDataset, UniformNegatives, pairwise_batches, pairwise_columns

DATA = ImplicitDataset(3, 9, {"train": [[0, 0], [0, 1], [1, 1], [2, 2]], "validation": [], "test": [[1, 3]]})


def test_columns_hold_every_training_pair_with_negatives_of_the_epoch():
    columns = pairwise_columns(DATA, UniformNegatives(DATA), seed=1, epoch=2)
    assert columns["user"].tolist() == [0, 0, 1, 2] and columns["item"].tolist() == [0, 1, 1, 2]
    expected = UniformNegatives(DATA).draw([0, 0, 1, 2], seed=1, epoch=2)[:, 0]
    np.testing.assert_array_equal(columns["negative"], expected)
    assert pairwise_columns(DATA, UniformNegatives(DATA), seed=1, epoch=2, count=5)["negative"].shape == (4, 5)
    assert all(column.dtype == np.int32 for column in columns.values())


def test_given_negatives_are_taken_as_they_are():
    given = np.array([8, 7, 6, 5])
    for negatives in (given, given[:, None]):
        assert pairwise_columns(DATA, negatives, seed=1, epoch=0)["negative"].tolist() == [8, 7, 6, 5]
    assert pairwise_columns(DATA, np.stack([given, given], 1), seed=1, epoch=0)["negative"].shape == (4, 2)


@pytest.mark.parametrize(
    "negatives, match",
    [
        (np.zeros(3, int), r"shape \[4, m\].* Received: int64 \[3, 1\]"),
        (np.zeros(4), "Received: float64"),
        (np.array([0, 9, 1, 1]), "items from 0 to 8. Received: 0 to 9"),
    ],
)
def test_given_negatives_of_another_shape_or_range_are_refused(negatives, match):
    with pytest.raises(ValueError, match=match):
        pairwise_columns(DATA, negatives, seed=1, epoch=0)


def test_batches_hold_each_pair_once_with_its_own_negative_in_an_order_of_the_epoch():
    def rows(epoch):
        batches = pairwise_batches(DATA, np.array([8, 7, 6, 5]), 3, seed=1, epoch=epoch, drop_remainder=False)
        return [
            tuple(row)
            for batch in batches
            for row in zip(*(column.numpy().tolist() for column in batch.values()), strict=True)
        ]

    assert sorted(rows(0)) == [(0, 0, 8), (0, 1, 7), (1, 1, 6), (2, 2, 5)]
    assert rows(0) == rows(0)
    assert len({tuple(rows(epoch)) for epoch in range(8)}) > 1
