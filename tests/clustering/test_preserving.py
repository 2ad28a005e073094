"""Clusters that are kept while a stripped model is trained on."""

import keras
import numpy as np
import pytest

from tfdistill.clustering import cluster_weights, clusters_of, preserve_clusters, strip_clustering


def image_model():
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Conv2D(4, 3, name="convolution"), keras.layers.Flatten(), keras.layers.Dense(8, name="head")]
    return keras.Sequential([keras.Input((6, 6, 2)), *layers])


def data():
    random = np.random.default_rng(0)
    return random.normal(size=(8, 6, 6, 2)).astype("float32"), random.normal(size=(8, 8)).astype("float32")


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_stripped_model_begins_as_it_is_and_keeps_its_number_of_values(per_channel):
    x, y = data()
    plain = strip_clustering(cluster_weights(image_model(), 4, cluster_per_channel=per_channel))
    assert clusters_of(plain) == {"convolution/kernel": 16 if per_channel else 4, "head/kernel": 4}
    preserved = preserve_clusters(plain)
    assert [transform.cluster_per_channel for transform in preserved.weight_transforms] == [per_channel, False]
    assert [transform.number_of_clusters for transform in preserved.weight_transforms] == [4, 4]
    np.testing.assert_array_equal(preserved(x), plain(x))
    preserved.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    preserved.fit(x, y, epochs=3, verbose=0)
    stripped = strip_clustering(preserved)
    np.testing.assert_allclose(stripped(x), preserved(x), atol=1e-6)
    assert not np.allclose(stripped(x), plain(x), atol=1e-3)
    kernel = stripped.layers[0].kernel.numpy()
    assert all(len(np.unique(part)) <= 4 for part in (np.moveaxis(kernel, -1, 0) if per_channel else [kernel]))
    assert clusters_of(stripped)["head/kernel"] <= 4


def test_zeros_stay_zeros_if_asked():
    model = image_model()
    model.layers[2].kernel.assign(np.where(model.layers[2].kernel.numpy() < 0, 0, model.layers[2].kernel.numpy()))
    plain = strip_clustering(cluster_weights(model, 4, preserve_sparsity=True, layers=["head"]))
    preserved = preserve_clusters(plain, preserve_sparsity=True)
    assert [weight.path for weight, _ in preserved.transformed()] == ["head/kernel"]
    zeros = plain.layers[2].kernel.numpy() == 0
    preserved.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
    preserved.fit(*data(), epochs=2, verbose=0)
    assert (strip_clustering(preserved).layers[2].kernel.numpy()[zeros] == 0).all() and zeros.any()


def test_the_kept_clusters_are_saved_and_loaded(tmp_path):
    x, _ = data()
    preserved = preserve_clusters(strip_clustering(cluster_weights(image_model(), 4)))
    preserved.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), preserved(x))


def test_a_model_that_was_never_clustered_is_refused():
    with pytest.raises(ValueError, match="not clustered.*convolution/kernel"):
        preserve_clusters(image_model())
    half = strip_clustering(cluster_weights(image_model(), 4, layers=["head"]))
    with pytest.raises(ValueError, match="not clustered.*convolution/kernel"):
        preserve_clusters(half, layers=["convolution"])
    with pytest.raises(ValueError, match="built"):
        preserve_clusters(keras.Sequential([keras.layers.Dense(2)]))
