"""One ranker in both Kerases, with the same weights."""

import types
import warnings

import keras
import numpy as np
import pytest


def keras_ranker():
    """Reads user (an id) and age (a number), through an embedding, a batch normalisation and a dropout."""
    inputs = {"user": keras.Input((), dtype="int32", name="user"), "age": keras.Input((1,), name="age")}
    embedded = keras.layers.Embedding(7, 4, name="table")(inputs["user"])
    x = keras.layers.Concatenate(name="joined")([embedded, inputs["age"]])
    x = keras.layers.Dense(6, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization(name="norm")(x))
    return keras.Model(inputs, keras.layers.Dense(1, name="logits")(x))


def tf_keras_ranker():
    """The same in tf_keras."""
    import tf_keras

    inputs = {"user": tf_keras.Input((), dtype="int32", name="user"), "age": tf_keras.Input((1,), name="age")}
    embedded = tf_keras.layers.Embedding(7, 4, name="table")(inputs["user"])
    x = tf_keras.layers.Concatenate(name="joined")([embedded, inputs["age"]])
    x = tf_keras.layers.Dense(6, activation="relu", name="hidden")(x)
    x = tf_keras.layers.Dropout(0.5)(tf_keras.layers.BatchNormalization(name="norm")(x))
    return tf_keras.Model(inputs, tf_keras.layers.Dense(1, name="logits")(x))


@pytest.fixture(scope="session")
def rankers(tmp_path_factory):
    """A Keras 3 and a tf_keras model of the same weights, their files, inputs, hidden features and logits."""
    pytest.importorskip("tf_keras")
    generator = np.random.default_rng(0)
    model = keras_ranker()
    model.set_weights([generator.uniform(0.2, 1.0, weight.shape) for weight in model.get_weights()])
    legacy = tf_keras_ranker()
    for layer in model.layers:
        if layer.weights:
            legacy.get_layer(layer.name).set_weights(layer.get_weights())
    folder = tmp_path_factory.mktemp("rankers")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        for name in ("ranker.keras", "ranker.h5"):
            model.save(folder / name)
            legacy.save(folder / name.replace("ranker", "legacy"))
    model.export(folder / "ranker", verbose=False)
    inputs = {
        "user": generator.integers(0, 7, 20).astype("int32"),
        "age": generator.normal(size=(20, 1)).astype("float32"),
    }
    (table,), (kernel, bias) = model.get_layer("table").get_weights(), model.get_layer("hidden").get_weights()
    hidden = np.maximum(np.concatenate([table[inputs["user"]], inputs["age"]], 1) @ kernel + bias, 0)
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    kernel, bias = model.get_layer("logits").get_weights()
    logits = ((hidden - mean) / np.sqrt(variance + 1e-3) * gamma + beta) @ kernel + bias
    return types.SimpleNamespace(
        model=model, legacy=legacy, folder=folder, inputs=inputs, hidden=hidden, logits=logits.astype("float32")
    )
