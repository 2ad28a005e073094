"""Zeros that stay zeros in training, and the measure of sparsity."""

import keras
import numpy as np
import pytest
from keras import layers

from tfdistill.parametrize import strip
from tfdistill.sparsity import ConstantSparsity, preserve_sparsity, prune_low_magnitude, sparsity_of, strip_pruning

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")


def mlp():
    return keras.Sequential([keras.Input((8,)), layers.Dense(4, "relu", name="hidden"), layers.Dense(2, name="head")])


def sparse():
    """A model whose hidden kernel has zeros."""
    pruned = prune_low_magnitude(mlp(), ConstantSparsity(0.75, 1, frequency=1), layers=["hidden"])
    pruned.compile("sgd", "mse")
    pruned.train_on_batch(X, Y)
    return strip_pruning(pruned)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_zeros_stay_exact_zeros_and_the_rest_is_trained(jit_compile, tmp_path):
    model = sparse()
    before = [layer.kernel.numpy() for layer in model.layers]
    preserving = preserve_sparsity(model)
    assert [weight.path for weight, _ in preserving.transformed()] == ["hidden/kernel"]
    preserving.compile(keras.optimizers.AdamW(0.01), "mse", jit_compile=jit_compile)
    preserving.fit(X, Y, epochs=3, verbose=0)
    for layer, value in zip(model.layers, before, strict=True):
        np.testing.assert_array_equal(layer.kernel.numpy() == 0, value == 0)
        assert np.all(layer.kernel.numpy()[value != 0] != value[value != 0])
    preserving.save(tmp_path / "preserving.keras")
    loaded = keras.saving.load_model(tmp_path / "preserving.keras")
    loaded.fit(X, Y, verbose=0)
    assert sparsity_of(loaded) == sparsity_of(strip(loaded)) == {"hidden/kernel": 0.75, "head/kernel": 0.0}


def test_layers_whose_zeros_stay_are_chosen():
    model = sparse()
    model.layers[1].kernel.assign(np.eye(4, 2))
    paths = [weight.path for weight, _ in preserve_sparsity(model, layers=["head"]).transformed()]
    assert paths == ["head/kernel"]


def test_a_model_without_zeros_is_refused():
    with pytest.raises(ValueError, match=r"None of the weights has a zero to keep: \['hidden/kernel', 'head/kernel'\]"):
        preserve_sparsity(mlp())
    with pytest.raises(ValueError, match="None of the weights has a zero"):
        preserve_sparsity(sparse(), layers=["head"])
    with pytest.raises(ValueError, match="no kernels or tables, or none yet"):
        preserve_sparsity(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="`model` must be a Keras 3 model or layer. Received: 3"):
        preserve_sparsity(3)


def test_a_tf_keras_model_is_told_where_to_go():
    tf_keras = pytest.importorskip("tf_keras")
    with pytest.raises(ValueError, match="Default8BitPrunePreserveQuantizeScheme"):
        preserve_sparsity(tf_keras.Sequential([tf_keras.layers.Dense(2)]))


def test_the_share_of_zeros_is_told_by_path():
    model = mlp()
    model.layers[0].kernel.assign(np.repeat([[0.0], [1.0]], [6, 2], axis=0) * np.ones((8, 4)))
    assert sparsity_of(model) == {"hidden/kernel": 0.75, "head/kernel": 0.0}
    nested = keras.Sequential([keras.Input((8,)), model], name="outer")
    assert sparsity_of(nested) == {f"{model.name}/hidden/kernel": 0.75, f"{model.name}/head/kernel": 0.0}
    with pytest.raises(ValueError, match="has no weights yet"):
        sparsity_of(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="`model` must be a Keras 3 model or layer"):
        sparsity_of("model")
