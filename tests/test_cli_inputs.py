"""Random inputs for a benchmark: ids over the whole of every table, in TFLite files and in SavedModels of any make."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.cli_inputs import random_inputs, table_rows
from tfdistill.export import describe, export_saved_model, export_tflite

ROWS = {"user": 100, "item": 50, "genres": 7}


@pytest.fixture(scope="module")
def ranker():
    """User 100 rows, item 50, a bag of three genres out of 7, and a number."""
    inputs = {
        "user": keras.Input((), dtype="int32", name="user"),
        "item": keras.Input((), dtype="int32", name="item"),
        "genres": keras.Input((3,), dtype="int32", name="genres"),
        "price": keras.Input((), dtype="float32", name="price"),
    }
    looked_up = {
        name: keras.layers.Embedding(rows, 4, name=f"embed_{name}")(inputs[name]) for name, rows in ROWS.items()
    }
    looked_up["genres"] = keras.layers.GlobalAveragePooling1D()(looked_up["genres"])
    number = keras.layers.Reshape((1,))(inputs["price"])
    joined = keras.layers.Concatenate()([*looked_up.values(), number])
    return keras.Model(inputs, keras.layers.Dense(1, name="logits")(joined))


@pytest.fixture(scope="module", params=["tflite_float32", "tflite_float16", "saved_model", "keras_export", "variables"])
def artifact(request, ranker, tmp_path_factory):
    """The ranker as a file, made by this package, by Keras, or by hand with lookups straight in variables."""
    path = tmp_path_factory.mktemp("artifact") / "ranker"
    if request.param.startswith("tflite"):
        return export_tflite(ranker, path.with_suffix(".tflite"), request.param)
    if request.param == "saved_model":
        return export_saved_model(ranker, path)
    if request.param == "keras_export":
        ranker.export(path, verbose=False)
        return path
    module = tf.Module()
    module.tables = {name: tf.Variable(tf.zeros((rows, 4))) for name, rows in ROWS.items()}
    look_up = tf.function(lambda name, ids: tf.reduce_sum(tf.gather(module.tables[name], ids)))

    @tf.function
    def serve(user, item, genres, price):
        return {"logit": look_up("user", user) + look_up("item", item) + look_up("genres", genres) + price}

    shapes = {"user": [None], "item": [None], "genres": [None, 3]}
    specs = {name: tf.TensorSpec(shape, tf.int32, name=name) for name, shape in shapes.items()}
    tf.saved_model.save(module, path, signatures=serve.get_concrete_function(**specs, price=tf.TensorSpec([None])))
    return path


def test_the_tables_behind_the_inputs_are_found(artifact):
    assert table_rows(artifact, "serving_default") == ROWS


def test_ids_reach_over_the_whole_table_and_never_beyond(artifact):
    inputs, unknown = random_inputs(artifact, describe(artifact))
    assert unknown == []
    assert {name: values.shape for name, values in inputs.items()} == {
        "user": (1000,),
        "item": (1000,),
        "genres": (1000, 3),
        "price": (1000,),
    }
    assert inputs["user"].dtype == np.int32 and inputs["price"].dtype == np.float32
    assert inputs["genres"].min() == 0 and inputs["genres"].max() == 6
    assert inputs["user"].min() < 5 and 95 <= inputs["user"].max() < 100


def test_an_input_without_a_table_gets_ids_that_any_table_has(tmp_path):
    x = keras.Input((), dtype="int32", name="count")
    hashed = keras.layers.Rescaling(0.5)(keras.layers.Reshape((1,))(x))
    path = export_tflite(
        keras.Model({"count": x}, keras.layers.Dense(1)(hashed)), tmp_path / "m.tflite", "tflite_float32"
    )
    inputs, unknown = random_inputs(path, describe(path))
    assert unknown == ["count"]
    assert set(inputs["count"]) == {0, 1}
