"""A trained-looking student and its exports, made once."""

import types

import keras
import numpy as np
import pytest


def make_inputs(rows, seed=0):
    random = np.random.default_rng(seed)
    ids = {"user": random.integers(0, 60, rows), "item": random.integers(0, 40, rows)}
    ids["genres"] = random.integers(0, 9, (rows, 3))
    return {**{k: v.astype(np.int32) for k, v in ids.items()}, "age": random.normal(size=rows).astype(np.float32)}


@pytest.fixture(scope="session")
def student(tmp_path_factory):
    """A ranker, rows to score, the model's own probabilities, labels drawn from them, and exported files."""
    from tfdistill.export import export_saved_model, export_tflite

    keras.utils.set_random_seed(5)
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item")}
    inputs["genres"] = keras.Input((3,), dtype="int32", name="genres")
    inputs["age"] = keras.Input((), dtype="float32", name="age")
    parts = [keras.layers.Embedding(60, 8)(inputs["user"]), keras.layers.Embedding(40, 8)(inputs["item"])]
    parts.append(keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 8)(inputs["genres"])))
    parts.append(keras.layers.Rescaling(0.01)(keras.layers.Reshape((1,))(inputs["age"])))
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()(parts))
    wide = keras.initializers.RandomNormal(stddev=15.0)
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=wide)(hidden))

    folder, rows = tmp_path_factory.mktemp("student"), make_inputs(1500)
    logit = model.predict(rows, batch_size=1500, verbose=0)[:, 0].astype(np.float64)
    probability = 1 / (1 + np.exp(-logit))
    label = (np.random.default_rng(1).random(1500) < probability).astype(np.float32)
    return types.SimpleNamespace(
        model=model,
        inputs=rows,
        probability=probability,
        label=label,
        saved_model=export_saved_model(model, folder / "saved_model"),
        saved_model_logit=export_saved_model(model, folder / "logit", output="logit"),
        float32=export_tflite(model, folder / "float32.tflite", "tflite_float32"),
        float32_logit=export_tflite(model, folder / "logit.tflite", "tflite_float32", output="logit"),
        int8=export_tflite(model, folder / "int8.tflite", "tflite_int8", calibration=make_inputs(1000, seed=2)),
    )
