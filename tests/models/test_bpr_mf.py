import keras
import numpy as np
import pytest

from tfdistill.models import bpr_mf

INPUTS = {"user": np.array([2, 0, 2], np.int32), "item": np.array([4, 4, 0], np.int32)}


@pytest.mark.parametrize("item_bias, parameters", [(False, (3 + 5) * 2), (True, (3 + 5) * 2 + 5)])
def test_parameters_are_a_row_for_every_user_and_item_and_a_bias(item_bias, parameters):
    assert bpr_mf(3, 5, 2, item_bias).count_params() == parameters


def test_the_score_is_the_inner_product_of_rows_plus_the_items_bias():
    model = bpr_mf(3, 5, 2, item_bias=True)
    users, items, bias = np.arange(6.0).reshape(3, 2), np.arange(10.0).reshape(5, 2), np.arange(0, 50, 10.0)[:, None]
    model.get_layer("user_tower").get_layer("embed_user").set_weights([users])
    model.get_layer("item_tower").get_layer("embed_item").set_weights([items])
    model.get_layer("item_tower").get_layer("item_bias").set_weights([bias])
    # (4, 5) . (8, 9) + 40, (0, 1) . (8, 9) + 40, (4, 5) . (0, 1) + 0
    np.testing.assert_allclose(model(INPUTS), [[117.0], [49.0], [5.0]])


def test_tables_start_normal_with_deviation_a_hundredth_and_biases_at_zero():
    keras.utils.set_random_seed(0)
    model = bpr_mf(400, 300, 50, item_bias=True)
    for tower, name in (("user_tower", "embed_user"), ("item_tower", "embed_item")):
        table = model.get_layer(tower).get_layer(name).get_weights()[0]
        assert abs(table.mean()) < 4 * 0.01 / np.sqrt(table.size)
        assert table.std() == pytest.approx(0.01, rel=0.03)
    assert not model.get_layer("item_tower").get_layer("item_bias").get_weights()[0].any()


def test_tables_start_as_the_initializer_says():
    model = bpr_mf(4, 3, 2, initializer="ones")
    np.testing.assert_array_equal(model(INPUTS | {"item": np.zeros(3, np.int32)}), np.full((3, 1), 2.0))


def test_the_penalty_is_on_the_rows_of_the_batch():
    model = bpr_mf(3, 5, 2, initializer="ones", embedding_l2=0.5)
    model(INPUTS)
    assert sum(map(float, model.losses)) == pytest.approx(0.5 * 2 + 0.5 * 2)


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((0, 5, 2), "number of rows of 'embed_user' must be a positive integer. Received: 0"),
        ((3, -1, 2), "number of rows of 'embed_item' must be a positive integer. Received: -1"),
        ((3, 5, 0), "`embedding_width` must be a positive integer. Received: 0"),
    ],
)
def test_sizes_below_one_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        bpr_mf(*sizes)
