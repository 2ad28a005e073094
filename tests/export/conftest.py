"""One small ranker of stock Keras layers, and its exports, made once."""

import types

import keras
import numpy as np
import pytest
from keras import ops


class MaskedMean(keras.layers.Layer):
    def call(self, rows, ids):
        mask = ops.cast(ops.not_equal(ids, 0), rows.dtype)[..., None]
        return ops.sum(rows * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), ops.cast(1, rows.dtype))


def make_ranker():
    """user (2,000 rows), item, gender, genres (a bag of at most 5), age (a number); a cross, two dense layers."""
    keras.utils.set_random_seed(3)
    bias = {"bias_initializer": keras.initializers.RandomUniform(-0.2, 0.2)}

    def table(name, rows):
        initializer = keras.initializers.RandomUniform(-0.4, 0.4)
        return keras.layers.Embedding(rows, 16, embeddings_initializer=initializer, name=f"embed_{name}")

    inputs = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item", "gender")}
    inputs["genres"] = keras.Input((5,), dtype="int32", name="genres")
    inputs["age"] = keras.Input((), dtype="float32", name="age")
    genres = MaskedMean(name="mean_genres")(table("genres", 19)(inputs["genres"]), inputs["genres"])
    age = keras.layers.Rescaling(0.1)(keras.layers.Reshape((1,))(inputs["age"]))
    embedded = [table(name, rows)(inputs[name]) for name, rows in (("user", 2000), ("item", 3000), ("gender", 3))]
    start = keras.layers.Concatenate()([*embedded, genres, age])
    x = start * keras.layers.Dense(65, name="cross", **bias)(start) + start
    x = keras.layers.Dense(48, activation="relu", name="hidden_1", **bias)(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(24, activation="relu", name="hidden_2", **bias)(x)
    spread = keras.initializers.RandomNormal(stddev=1.0)
    logit = keras.layers.Dense(1, name="logits", dtype="float32", kernel_initializer=spread, **bias)(x)
    model = keras.Model(inputs, logit, name="ranker")
    model.get_layer("norm").set_weights([np.full(48, value, "float32") for value in (1.1, 0.1, 0.05, 0.2)])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def make_inputs(rows, seed=0):
    random = np.random.default_rng(seed)
    genres = random.integers(1, 19, (rows, 5))
    genres[np.arange(5) >= random.integers(0, 6, (rows, 1))] = 0
    ids = {"user": random.integers(0, 2000, rows), "item": random.integers(0, 3000, rows)}
    ids |= {"gender": random.integers(0, 3, rows), "genres": genres}
    return {**{k: v.astype(np.int32) for k, v in ids.items()}, "age": random.normal(size=rows).astype(np.float32)}


@pytest.fixture(scope="session")
def ranker():
    return make_ranker()


@pytest.fixture(scope="session")
def inputs():
    return make_inputs(600)


@pytest.fixture(scope="session")
def probability(ranker, inputs):
    logit = ranker.predict(inputs, batch_size=600, verbose=0).astype(np.float64)
    return 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="session")
def exported(ranker, tmp_path_factory):
    """The folder and the files: exported.saved_model, exported.tflite_int8, ..."""
    from tfdistill.export import FORMATS, export_saved_model, export_tflite
    from tfdistill.export.tflite import CALIBRATED

    folder = tmp_path_factory.mktemp("exported")
    paths = {"saved_model": export_saved_model(ranker, folder / "saved_model")}
    for name in FORMATS:
        calibration = make_inputs(2000, seed=1) if name in CALIBRATED else None
        paths[name] = export_tflite(ranker, folder / f"{name}.tflite", name, calibration=calibration)
    return types.SimpleNamespace(**paths)
