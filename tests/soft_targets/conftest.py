"""A small teacher and its data for tests of the soft-target cache."""

import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def data():
    """Inputs of 100 examples with ids in no order, as (inputs, example_id)."""
    random = np.random.default_rng(5)
    inputs = {"price": random.normal(size=(100, 3)).astype("float32"), "shop": random.integers(0, 9, 100)}
    return inputs, random.permutation(1000)[:100]


@pytest.fixture(scope="session")
def teacher():
    """A functional model of the inputs of `data` with 5 logits and a hidden layer "hidden"."""
    keras.utils.set_random_seed(3)
    inputs = {"price": keras.Input((3,), name="price"), "shop": keras.Input((), dtype="int32", name="shop")}
    both = keras.layers.Concatenate()([inputs["price"], keras.layers.Embedding(9, 4)(inputs["shop"])])
    hidden = keras.layers.Dense(6, "relu", name="hidden")(both)
    return keras.Model(inputs, keras.layers.Dense(5)(hidden))


@pytest.fixture(scope="session")
def answers(teacher, data):
    """The teacher's logits by example, float32 [100, 5], from Keras."""
    return teacher.predict(data[0], batch_size=100, verbose=0)


@pytest.fixture
def folder_bytes():
    """Returns a function: {relative path: bytes} of all files of a folder."""

    def read(folder):
        return {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    return read
