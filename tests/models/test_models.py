"""Rankers: what a builder promises about its inputs, its output and its arithmetic."""

import itertools

import keras
import numpy as np
import pytest

from tfdistill.data import Field
from tfdistill.evaluation import open_artifact
from tfdistill.export import export_tflite
from tfdistill.models import BUILDERS, build
from tfdistill.models.embedding import MaskedMean

FIELDS = (
    Field("user", "categorical", "user", 50),
    Field("item", "categorical", "item", 40),
    Field("genres", "bag", "item", 7, 3),
    Field("price", "numeric", "item", 0),
)
INPUTS = {
    "user": np.array([1, 2, 0], np.int32),
    "item": np.array([3, 39, 0], np.int32),
    "genres": np.array([[1, 2, 0], [6, 0, 0], [0, 0, 0]], np.int32),
    "price": np.array([0.5, -1.0, 0.0], np.float32),
}


@pytest.mark.parametrize("kind", sorted(BUILDERS))
class TestEveryRanker:
    def test_gives_one_float32_logit_an_example(self, kind):
        output = build(kind, FIELDS)(INPUTS)
        assert output.shape == (3, 1)
        assert keras.backend.standardize_dtype(output.dtype) == "float32"

    def test_gives_a_float32_logit_under_mixed_precision(self, kind):
        keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
        try:
            output = build(kind, FIELDS)(INPUTS)
        finally:
            keras.mixed_precision.set_dtype_policy("float32")
        assert keras.backend.standardize_dtype(output.dtype) == "float32"

    def test_names_its_inputs_after_the_fields(self, kind):
        assert set(build(kind, FIELDS).input) == {"user", "item", "genres", "price"}

    def test_round_trips_through_a_safe_keras_file(self, kind, tmp_path):
        model = build(kind, FIELDS, dropout=0.1, embedding_l2=0.01)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))

    def test_penalises_the_rows_it_looks_up_and_only_when_asked(self, kind):
        plain, penalised = build(kind, FIELDS), build(kind, FIELDS, embedding_l2=0.5)
        plain(INPUTS), penalised(INPUTS)
        assert plain.losses == []
        rows = [penalised.get_layer(f"embed_{name}")(INPUTS[name]).numpy() for name in ("user", "item", "genres")]
        expected = sum(0.5 * (row**2).sum() / 3 for row in rows)
        penalised(INPUTS)
        np.testing.assert_allclose(sum(map(float, penalised.losses)), expected, rtol=1e-5)


def test_dcn_v2_crosses_as_the_paper_writes():
    keras.utils.set_random_seed(3)
    model = build("dcn_v2", FIELDS[:2], embedding_width=2, cross_layers=2, hidden_units=())
    start = np.concatenate([model.get_layer(f"embed_{name}")(INPUTS[name]) for name in ("user", "item")], axis=1)
    x = start
    for number in (1, 2):
        kernel, bias = model.get_layer(f"cross_{number}").get_weights()
        x = start * (x @ kernel + bias) + x
    kernel, bias = model.get_layer("logits").get_weights()
    first_two = {name: INPUTS[name] for name in ("user", "item")}
    np.testing.assert_allclose(model(first_two), x @ kernel + bias, rtol=1e-5, atol=1e-7)


def test_masked_mean_leaves_padding_out_and_gives_zeros_for_an_empty_bag():
    rows = np.array([[[2.0], [4.0], [100.0]], [[7.0], [8.0], [9.0]]], np.float32)
    np.testing.assert_array_equal(MaskedMean()(rows, np.array([[5, 1, 0], [0, 0, 0]], np.int32)), [[3.0], [0.0]])


def test_the_mean_of_a_bag_is_right_in_an_int8_file_beside_a_wider_field(tmp_path):
    # Divided by the count, as TFLite does in int8, means overflow there: probabilities were wrong by .5.
    keras.utils.set_random_seed(0)
    bags = [members for count in range(5) for members in itertools.combinations(range(1, 9), count)]
    bags = np.array([[*members, *[0] * (6 - len(members))] for members in bags], np.int32)
    fields = {"genres": bags, "item": np.arange(len(bags), dtype=np.int32) % 9}
    genres, item = keras.Input((6,), dtype="int32", name="genres"), keras.Input((), dtype="int32", name="item")
    narrow, wide = (
        keras.layers.Embedding(9, 4, embeddings_initializer=keras.initializers.RandomNormal(stddev=size, seed=1))
        for size in (0.1, 1.0)
    )
    joined = keras.layers.Concatenate()([MaskedMean()(narrow(genres), genres), wide(item)])
    model = keras.Model({"genres": genres, "item": item}, keras.layers.Dense(1, kernel_initializer="ones")(joined))
    export_tflite(model, tmp_path / "mean.tflite", "tflite_int8", calibration=fields)
    found = open_artifact(tmp_path / "mean.tflite").predict(fields, 64).ravel()
    expected = keras.ops.sigmoid(model.predict(fields, verbose=0)[:, 0])
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind: expected one of \['dcn_v2', 'deep_fm', 'mlp'\], received 'dcn'"):
        build("dcn", FIELDS)
