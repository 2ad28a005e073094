import keras
import numpy as np
import pytest

from tests.models.small_models import ITEMS, USERS, inputs_of, shuffled, small_dataset
from tfdistill.models import item_vectors, light_gcn, user_vectors


def propagated(users, items, pairs, layers):
    """The paper's matrix form: the mean of (D^-1/2 A D^-1/2)^k E over k = 0 to `layers`, A dense."""
    size = len(users) + len(items)
    adjacency = np.zeros((size, size))
    adjacency[pairs[:, 0], len(users) + pairs[:, 1]] = 1
    adjacency += adjacency.T
    degrees = adjacency.sum(axis=1)
    scale = np.divide(1, np.sqrt(degrees), out=np.zeros(size), where=degrees > 0)
    step = scale[:, None] * adjacency * scale
    table = np.concatenate([users, items]).astype(np.float64)
    mean = sum(np.linalg.matrix_power(step, k) @ table for k in range(layers + 1)) / (layers + 1)
    return mean[: len(users)], mean[len(users) :]


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_vectors_are_the_mean_of_the_layers_of_the_dense_propagation(layers):
    data = small_dataset()
    model = shuffled(light_gcn(data, 4, layers))
    graph = model.get_layer("user_tower").get_layer("graph")
    users, items = propagated(graph.user_table.numpy(), graph.item_table.numpy(), data.pairs["train"], layers)
    np.testing.assert_allclose(user_vectors(model, data), users, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(item_vectors(model, data), items, rtol=1e-4, atol=1e-6)


def test_a_user_and_an_item_without_pairs_keep_their_share_of_their_own_row():
    data = small_dataset()
    assert data.lists("train").of(USERS - 1).size == 0 and data.item_counts()[ITEMS - 1] == 0
    model = shuffled(light_gcn(data, 4, layers=3))
    graph = model.get_layer("user_tower").get_layer("graph")
    np.testing.assert_allclose(user_vectors(model, data)[-1], graph.user_table.numpy()[-1] / 4, rtol=1e-6)
    np.testing.assert_allclose(item_vectors(model, data)[-1], graph.item_table.numpy()[-1] / 4, rtol=1e-6)


def test_only_training_pairs_are_in_the_graph():
    data = small_dataset()
    graph = light_gcn(data, 4).get_layer("item_tower").get_layer("graph")
    np.testing.assert_array_equal(np.stack([graph.edge_users, graph.edge_items], axis=1), data.pairs["train"])


def test_parameters_are_two_tables_and_the_graph_is_not_trained():
    model = light_gcn(small_dataset(), 4)
    assert sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == (USERS + ITEMS) * 4
    assert len(model.non_trainable_variables) == 4


def test_gradients_reach_rows_that_only_the_graph_connects():
    data = small_dataset()
    model = light_gcn(data, 4, layers=1)
    graph = model.get_layer("user_tower").get_layer("graph")
    before = graph.item_table.numpy()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    user = int(data.pairs["train"][0, 0])
    model.fit({"user": np.array([user]), "item": np.array([ITEMS - 1])}, np.ones((1, 1)), verbose=0)
    moved = np.flatnonzero((graph.item_table.numpy() != before).any(axis=1))
    assert set(moved) == {*data.lists("train").of(user).tolist(), ITEMS - 1}


def test_tables_start_normal_with_deviation_a_tenth_or_as_asked():
    keras.utils.set_random_seed(0)
    table = light_gcn(small_dataset(), 200).get_layer("user_tower").get_layer("graph").user_table.numpy()
    assert table.std() == pytest.approx(0.1, rel=0.05)
    model = light_gcn(small_dataset(), 2, initializer="ones", layers=0)
    np.testing.assert_array_equal(model(inputs_of(model)), np.full((200, 1), 2.0))


def test_the_penalty_is_on_the_tables_own_rows_of_the_batch():
    model = light_gcn(small_dataset(), 2, initializer="ones", embedding_l2=0.5)
    model(inputs_of(model))
    assert sum(map(float, model.losses)) == pytest.approx(0.5 * 2 + 0.5 * 2)


@pytest.mark.parametrize(
    "arguments, message", [((0,), "`embedding_width` must"), ((4, -1), "`layers` must be 0 or more")]
)
def test_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        light_gcn(small_dataset(), *arguments)


def test_half_precision_leaves_the_sums_over_the_graph_in_float32():
    data = small_dataset()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = shuffled(light_gcn(data, 4))
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    graph = model.get_layer("user_tower").get_layer("graph")
    users, _ = propagated(graph.user_table.numpy(), graph.item_table.numpy(), data.pairs["train"], 3)
    np.testing.assert_allclose(graph.propagated()[0], users, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(user_vectors(model, data), users, rtol=2**-8)
