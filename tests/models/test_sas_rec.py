import numpy as np
import pytest

from tests.models.small_models import shuffled
from tfdistill.models import bpr_mf, sas_rec, sequence_tower
from tfdistill.models.attention import CausalAttention

ITEMS, LENGTH, WIDTH = 20, 5, 6
HISTORY = np.array([[3, 7, 1, 20, 9], [0, 0, 4, 4, 2], [0, 0, 0, 0, 11]], np.int32)


def small_model(**settings):
    return shuffled(sas_rec(ITEMS, LENGTH, WIDTH, **{"blocks": 2, "heads": 2} | settings))


def weights_of(model):
    """{layer's name: its weights} below the sequence tower."""
    return {layer.name: [w.astype(np.float64) for w in layer.get_weights()] for layer in sequence_tower(model).layers}


def normed(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-8) * gamma + beta


def places_of_items(weights, numbers, heads, blocks):
    """The vectors of a history without padding, as the authors' code computes them, one head and one place at a time.

    Args:
        numbers: items of the history, which stand at the last places.
    """

    def dense(name, x):
        kernel, bias = weights[name]
        return x @ kernel + bias

    n = len(numbers)
    x = weights["embed_item"][0][numbers] * np.sqrt(WIDTH) + weights["positions"][0][LENGTH - n :]
    for block in (f"block_{number}" for number in range(1, blocks + 1)):
        queries = normed(x, *weights[f"{block}_attention_norm"])
        q, k, v = (dense(f"{block}_{part}", given) for part, given in (("query", queries), ("key", x), ("value", x)))
        attended = np.zeros_like(x)
        for head in range(heads):
            columns = slice(head * WIDTH // heads, (head + 1) * WIDTH // heads)
            for place in range(n):
                scores = k[: place + 1, columns] @ q[place, columns] / np.sqrt(WIDTH // heads)
                share = np.exp(scores - scores.max())
                attended[place, columns] = share @ v[: place + 1, columns] / share.sum()
        start = normed(attended + queries, *weights[f"{block}_hidden_norm"])
        x = dense(f"{block}_output", np.maximum(dense(f"{block}_hidden", start), 0)) + start
    return normed(x, *weights["norm"])


def test_parameters_are_those_of_tables_norms_and_dense_layers():
    block = 2 * 2 * WIDTH + 5 * (WIDTH * WIDTH + WIDTH)
    assert small_model().count_params() == ITEMS * WIDTH + LENGTH * WIDTH + 2 * block + 2 * WIDTH


@pytest.mark.parametrize("heads, blocks", [(1, 1), (2, 2), (3, 1)])
def test_vectors_of_all_places_are_those_of_a_loop_over_items_alone(heads, blocks):
    model = small_model(heads=heads, blocks=blocks)
    places = sequence_tower(model)({"history": HISTORY}).numpy()
    for row, history in zip(places, HISTORY, strict=True):
        items = history[history > 0] - 1
        expected = places_of_items(weights_of(model), items, heads, blocks)
        np.testing.assert_allclose(row[LENGTH - len(items) :], expected, rtol=1e-3, atol=1e-4)


def test_a_users_vector_is_that_of_the_last_place_and_an_items_its_row():
    model = small_model()
    places = sequence_tower(model)({"history": HISTORY}).numpy()
    np.testing.assert_allclose(model.get_layer("user_tower")({"history": HISTORY}), places[:, -1], rtol=1e-5)
    items = np.array([0, 19, 5])
    np.testing.assert_array_equal(
        model.get_layer("item_tower")({"item": items}), weights_of(model)["embed_item"][0].astype(np.float32)[items]
    )


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_a_later_item_changes_no_earlier_place(size):
    model = shuffled(small_model(), deviation=0.4 * size)
    before = sequence_tower(model)({"history": HISTORY}).numpy()
    changed = HISTORY.copy()
    changed[:, 3] = 13
    after = sequence_tower(model)({"history": changed}).numpy()
    np.testing.assert_allclose(
        after[:2, :3][HISTORY[:2, :3] > 0], before[:2, :3][HISTORY[:2, :3] > 0], rtol=1e-4, atol=1e-4
    )
    assert (np.abs(after[:2, 3:] - before[:2, 3:]).max(axis=-1) > 1e-3).all()


def test_what_padding_looks_up_changes_nothing():
    model = small_model()
    places = sequence_tower(model)
    before = places({"history": HISTORY}).numpy()
    table, (positions,) = places.get_layer("embed_item"), places.get_layer("positions").get_weights()
    rows = table.get_weights()[0]
    rows[0] += 5  # item 0, which no history has, is the row that padding looks up
    table.set_weights([rows])
    places.get_layer("positions").set_weights([positions + [[9], [9], [0], [0], [0]]])
    after = places({"history": HISTORY}).numpy()
    np.testing.assert_allclose(after[1:][HISTORY[1:] > 0], before[1:][HISTORY[1:] > 0], rtol=1e-5, atol=1e-5)


def test_a_user_without_history_has_finite_vectors_that_depend_on_no_item():
    model = small_model()
    nothing = {"history": np.zeros((1, LENGTH), np.int32)}
    before = model.get_layer("user_tower")(nothing).numpy()
    table = sequence_tower(model).get_layer("embed_item")
    table.set_weights([table.get_weights()[0] + 1])
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(model.get_layer("user_tower")(nothing), before)


@pytest.mark.parametrize("size", [1.0, 1e3])
def test_attention_weights_are_nothing_where_masked_and_add_up_to_one_however_large_scores_are(size):
    random = np.random.default_rng(0)
    queries, keys = (size * random.normal(size=(2, 3, LENGTH, WIDTH))).astype(np.float32)
    weights = CausalAttention(2)(queries, keys, HISTORY).numpy()
    place = np.arange(LENGTH)
    seen = (place[:, None] >= place) & (HISTORY > 0)[:, None, :] | np.eye(LENGTH, dtype=bool)
    assert (weights[np.broadcast_to(~seen[:, None], weights.shape)] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


def test_input_and_output_share_the_table():
    model = small_model()
    assert model.get_layer("item_tower").get_layer("embed_item") is sequence_tower(model).get_layer("embed_item")


def test_dropout_is_in_force_in_training_only():
    model = small_model(dropout=0.5)
    inputs = {"history": HISTORY, "item": np.zeros(3, np.int32)}
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert not np.allclose(model(inputs, training=True), model(inputs))


def test_the_penalty_is_on_the_rows_of_items_but_not_of_padding():
    model = small_model(embedding_l2=0.5)
    table = weights_of(model)["embed_item"][0]
    items = np.array([0, 19, 5], np.int32)
    model({"history": HISTORY, "item": items})
    looked_up = np.concatenate([HISTORY[HISTORY > 0] - 1, items])
    assert sum(map(float, model.losses)) == pytest.approx(0.5 * (table[looked_up] ** 2).sum() / 3, rel=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_length": 0}, "`max_length` must be a positive integer. Received: 0"),
        ({"heads": 4}, "`heads` must divide `embedding_width`, 6. Received: heads=4"),
        ({"items": 0}, "number of rows of 'embed_item' must be a positive integer. Received: 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        sas_rec(**{"items": ITEMS, "max_length": LENGTH, "embedding_width": WIDTH} | settings)


def test_other_models_have_no_sequence_tower():
    with pytest.raises(ValueError, match="must be made by sas_rec. Received: 'bpr_mf' of type Functional"):
        sequence_tower(bpr_mf(3, 4, 2))
