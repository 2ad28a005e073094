import numpy as np
import pytest

from tfdistill.data import encode, split, synthetic


@pytest.fixture(scope="module")
def interactions():
    return synthetic(seed=3)


def test_the_default_has_200000_different_pairs_of_3000_users_and_1500_items(interactions):
    assert len(interactions) == 200_000
    assert len(interactions.users) == 3000 and len(interactions.items) == 1500
    assert len(np.unique(interactions.user * 10_000 + interactions.item)) == 200_000


def test_equal_seeds_give_equal_data_and_others_do_not(interactions):
    again, other = synthetic(seed=3), synthetic(seed=4)
    for name in ("user", "item", "label", "time"):
        np.testing.assert_array_equal(getattr(interactions, name), getattr(again, name))
    assert interactions.users.equals(again.users) and interactions.items.equals(again.items)
    assert not np.array_equal(interactions.item, other.item)


def test_users_are_mostly_light_and_items_mostly_unpopular(interactions):
    per_user = np.bincount(interactions.user)[1:]
    per_item = np.sort(np.bincount(interactions.item, minlength=1501)[1:])[::-1]
    assert per_user.min() >= 5
    assert np.median(per_user) < 0.7 * per_user.mean()
    assert per_item[:150].sum() > 0.25 * len(interactions)  # a tenth of the items, a quarter of the rows


def test_rows_are_in_the_order_of_time_and_both_labels_are_common(interactions):
    assert (np.diff(interactions.time) >= 0).all()
    assert 0.5 < interactions.positive_share < 0.9


def test_fields_are_user_item_age_region_year_and_genres(interactions):
    dataset = encode(interactions, split(interactions, seed=1))
    described = [(field.name, field.kind, field.of) for field in dataset.fields]
    assert described == [
        ("user", "categorical", "user"),
        ("item", "categorical", "item"),
        ("age", "categorical", "user"),
        ("region", "categorical", "user"),
        ("year", "categorical", "item"),
        ("genres", "bag", "item"),
    ]


@pytest.mark.parametrize(
    "users, items, count", [(2, 2, 4), (100, 50, 1000), (20, 30, 600), (50, 1000, 200), (300, 4, 900)]
)
def test_any_size_that_can_be_has_exactly_that_many_rows_and_no_repeated_pair(users, items, count):
    interactions = synthetic(seed=1, users=users, items=items, interactions=count)
    assert len(interactions) == count
    assert len(set(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))) == count
    assert set(interactions.user.tolist()) == set(range(1, users + 1))


@pytest.mark.parametrize(
    "sizes", [{"users": 1}, {"items": 0}, {"interactions": 10}, {"users": 10, "items": 10}, {"users": 2.5}]
)
def test_sizes_that_cannot_be_are_refused_by_name(sizes):
    with pytest.raises(ValueError, match="invalid value for `(users|items|interactions)`"):
        synthetic(**sizes)
