"""NeuMF, DeepFM and the tagger against their formulas in numpy."""

import itertools

import numpy as np
import pytest

from tests.models.small_models import ITEM_FIELDS, ITEMS, USER_FIELDS, USERS, inputs_of, shuffled
from tfdistill.data import Field
from tfdistill.models import deep_fm, multi_label_tagger, neu_mf, tag_targets

FIELDS = USER_FIELDS + ITEM_FIELDS


def weights(model, name):
    return model.get_layer(name).get_weights()


def dense(model, name, x):
    kernel, bias = weights(model, name)
    return x @ kernel + bias


def looked_up(table, field, x):
    if field.kind == "categorical":
        return table[x]
    return np.array([table[bag[bag > 0]].mean(axis=0) if bag.any() else 0 * table[0] for bag in x])


class TestNeuMF:
    def test_parameters_are_four_tables_and_the_dense_layers(self):
        model = neu_mf(USERS, ITEMS, embedding_width=3, mlp_embedding_width=4, hidden_units=(6, 2))
        tables = (USERS + ITEMS) * (3 + 4)
        assert model.count_params() == tables + (8 * 6 + 6) + (6 * 2 + 2) + (3 + 2 + 1)

    def test_the_logit_is_linear_in_the_product_and_in_what_the_network_makes_of_other_rows(self):
        model = shuffled(neu_mf(USERS, ITEMS, embedding_width=3, mlp_embedding_width=4, hidden_units=(6, 2)))
        inputs = inputs_of(model)
        product = weights(model, "factors_user")[0][inputs["user"]] * weights(model, "factors_item")[0][inputs["item"]]
        rows = [weights(model, f"mlp_{side}")[0][inputs[side]] for side in ("user", "item")]
        hidden = np.maximum(dense(model, "hidden_1", np.concatenate(rows, axis=1)), 0)
        hidden = np.maximum(dense(model, "hidden_2", hidden), 0)
        expected = dense(model, "logits", np.concatenate([product, hidden], axis=1))
        np.testing.assert_allclose(model(inputs), expected, rtol=1e-4, atol=1e-5)

    def test_sizes_below_one_are_refused(self):
        with pytest.raises(ValueError, match="rows of 'factors_item' must be a positive integer. Received: 0"):
            neu_mf(3, 0)


class TestDeepFM:
    def test_parameters_are_a_weight_and_a_vector_for_every_value_and_the_dense_layers(self):
        values = USERS + (ITEMS + 1) + 1 + ITEMS + 7 + 1
        model = deep_fm(FIELDS, embedding_width=4, hidden_units=(5,))
        assert model.count_params() == values * (1 + 4) + (6 * 4 * 5 + 5) + (5 + 1)

    def test_the_logit_is_the_sum_of_weights_of_all_pairs_and_of_the_network(self):
        model = shuffled(deep_fm(FIELDS, embedding_width=4, hidden_units=(5,)))
        inputs = inputs_of(model)
        linear, vectors = 0, []
        for field in FIELDS:
            x = inputs[field.name]
            if field.is_numeric:
                x = 0.1 * x[:, None]
                linear = linear + x * weights(model, f"weight_{field.name}")[0]
                vectors.append(x * weights(model, f"vector_{field.name}")[0])
            else:
                linear = linear + looked_up(weights(model, f"weight_embed_{field.name}")[0], field, x)
                vectors.append(looked_up(weights(model, f"embed_{field.name}")[0], field, x))
        pairs = sum((a * b).sum(axis=1, keepdims=True) for a, b in itertools.combinations(vectors, 2))
        hidden = np.maximum(dense(model, "hidden_1", np.concatenate(vectors, axis=1)), 0)
        expected = linear + pairs + dense(model, "hidden_logits", hidden)
        np.testing.assert_allclose(model(inputs), expected, rtol=1e-4, atol=1e-5)


class TestMultiLabelTagger:
    def test_parameters_are_those_of_all_fields_but_the_labels(self):
        model = multi_label_tagger(FIELDS, "genres", tags=5, embedding_width=2, hidden_units=(3,))
        assert set(model.input) == {"user", "history", "age", "item", "price"}
        assert model.count_params() == 2 * (USERS + ITEMS + 1 + ITEMS) + (8 * 3 + 3) + (3 * 5 + 5)

    def test_the_labels_need_not_be_among_the_fields_and_default_to_the_whole_vocabulary(self):
        assert multi_label_tagger(USER_FIELDS, Field("genres", "bag", "item", 19, 6)).output_shape == (None, 18)

    def test_targets_are_one_for_the_labels_of_the_bag(self):
        bags = np.array([[2, 4, 0], [1, 5, 2], [0, 0, 0]], np.int32)
        targets = tag_targets(bags, 4)
        np.testing.assert_array_equal(targets, [[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
        assert targets.dtype == np.float32

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ((FIELDS, "tags"), "must be a bag, or the name of one of .*'genres'.* Received: 'tags'"),
            ((FIELDS, "user"), "`label_field` must be a bag.* Received: 'user'"),
            ((FIELDS, "genres", 7), "`tags` must be 1 to 6, the labels of 'genres'. Received: 7"),
            ((ITEM_FIELDS[1:2], "genres"), r"must have a field besides the labels 'genres'. Received: \['genres'\]"),
        ],
    )
    def test_labels_that_are_no_bag_or_too_few_are_refused(self, arguments, message):
        fields, label_field, tags = (*arguments, None)[:3]
        with pytest.raises(ValueError, match=message):
            multi_label_tagger(fields, label_field, tags=tags)

    @pytest.mark.parametrize("bags", [np.array([1, 2]), np.array([[-1, 2]])])
    def test_bags_of_another_shape_or_below_zero_are_refused(self, bags):
        with pytest.raises(ValueError, match=r"`bags` must be indices \[n, length\] of 0 or more"):
            tag_targets(bags, 3)
