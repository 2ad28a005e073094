import numpy as np
import pytest

from tests.models.small_models import ITEM_FIELDS, ITEMS, LENGTH, USER_FIELDS, USERS, inputs_of, shuffled
from tfdistill.models import towers, two_tower

SETTINGS = {"embedding_width": 4, "hidden_units": (5,), "width": 3}


def vector(tower, fields, inputs):
    """A tower's vector, in numpy."""
    parts = []
    for field in fields:
        x = inputs[field.name]
        if field.is_numeric:
            parts.append(0.1 * x[:, None])
            continue
        table = tower.get_layer(f"embed_{field.name}").get_weights()[0]
        if field.kind == "bag":
            rows = [table[bag[bag > 0]].mean(axis=0) if bag.any() else np.zeros(4) for bag in x]
            parts.append(np.array(rows))
        else:
            parts.append(table[x])
    x = np.concatenate(parts, axis=1)
    kernel, bias = tower.get_layer("hidden_1").get_weights()
    x = np.maximum(x @ kernel + bias, 0)
    kernel, bias = tower.get_layer("vector").get_weights()
    return x @ kernel + bias


def test_parameters_are_those_of_tables_and_dense_layers():
    model = two_tower(USER_FIELDS, ITEM_FIELDS, **SETTINGS)
    tables = 4 * (USERS + ITEMS + 1 + ITEMS + 7)
    assert LENGTH == 6 and model.count_params() == tables + 2 * ((9 * 5 + 5) + (5 * 3 + 3))


@pytest.mark.parametrize("temperature", [None, 0.25])
def test_the_score_is_an_inner_product_or_a_cosine_divided_by_the_temperature(temperature):
    extra = {} if temperature is None else {"normalize": True, "temperature": temperature}
    model = shuffled(two_tower(USER_FIELDS, ITEM_FIELDS, **SETTINGS, **extra))
    inputs = inputs_of(model)
    user_tower, item_tower = towers(model)
    users, items = vector(user_tower, USER_FIELDS, inputs), vector(item_tower, ITEM_FIELDS, inputs)
    if temperature is not None:
        users /= np.linalg.norm(users, axis=1, keepdims=True) * temperature
        items /= np.linalg.norm(items, axis=1, keepdims=True)
    np.testing.assert_allclose(model(inputs)[:, 0], (users * items).sum(axis=1), rtol=1e-4, atol=1e-5)


def test_penalty_and_dropout_are_there_only_when_asked_for():
    plain = two_tower(USER_FIELDS, ITEM_FIELDS, **SETTINGS)
    inputs = inputs_of(plain)
    np.testing.assert_array_equal(plain(inputs, training=True), plain(inputs, training=False))
    assert plain.losses == []
    other = two_tower(USER_FIELDS, ITEM_FIELDS, **SETTINGS, dropout=0.5, embedding_l2=0.1)
    assert not np.allclose(other(inputs, training=True), other(inputs, training=False))
    assert len(other.losses) == 4


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((), ITEM_FIELDS), "`user_fields` must have at least one field"),
        ((USER_FIELDS, USER_FIELDS[:1]), r"`item_fields` must be fields of the item. Received: \['user'\]"),
        ((USER_FIELDS, ITEM_FIELDS, 0.0, True), "`temperature` must be above 0"),
        ((USER_FIELDS, ITEM_FIELDS, 0.5, False), "goes with normalize=True. Received: 0.5"),
    ],
)
def test_fields_of_the_wrong_side_and_lone_temperatures_are_refused(arguments, message):
    user_fields, item_fields, temperature, normalize = (*arguments, 1.0, False)[:4]
    with pytest.raises(ValueError, match=message):
        two_tower(user_fields, item_fields, temperature=temperature, normalize=normalize)
