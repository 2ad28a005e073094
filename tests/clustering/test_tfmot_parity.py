"""Training clustered models beside TFMOT's on twins in tf_keras: equal weights, batches and optimizer."""

import keras
import numpy as np
import pytest

from tfdistill.clustering import cluster_weights

tf_keras = pytest.importorskip("tf_keras")
tfmot = pytest.importorskip("tensorflow_model_optimization").clustering.keras

CLUSTERS, STEPS = 5, 4
CASES = [  # initialisation, aggregation, preserve_sparsity, per channel, XLA
    ("LINEAR", "SUM", False, False, False),
    ("LINEAR", "AVG", True, False, True),
    ("LINEAR", "SUM", True, True, True),
    ("DENSITY_BASED", "SUM", False, False, True),
    ("DENSITY_BASED", "AVG", False, True, False),
    ("DENSITY_BASED", "SUM", True, False, False),
    ("KMEANS_PLUS_PLUS", "SUM", False, True, True),
    ("KMEANS_PLUS_PLUS", "AVG", False, False, True),
    ("KMEANS_PLUS_PLUS", "SUM", True, False, False),
    ("KMEANS_PLUS_PLUS", "AVG", True, True, False),
]


def image_twins(sparse):
    """A small convolutional classifier of each Keras, with equal weights."""
    twins = []
    for library in (keras, tf_keras):
        layers = library.layers
        twins.append(
            library.Sequential(
                [
                    layers.Conv2D(6, 3, activation="relu", name="convolution"),
                    layers.Flatten(),
                    layers.Dense(10, activation="relu", name="hidden"),
                    layers.Dense(1, name="head"),
                ]
            )
        )
        twins[-1].build((None, 8, 8, 2))
    return twins_with_equal_weights(*twins, sparse)


def table_twins():
    """An embedding and a GRU of each Keras, with equal weights."""
    twins = []
    for library in (keras, tf_keras):
        inputs = library.Input((5,), dtype="int32")
        hidden = library.layers.Embedding(12, 4, name="items")(inputs)
        hidden = library.layers.LSTM(4, name="recurrent", unroll=True)(hidden)
        twins.append(library.Model(inputs, library.layers.Dense(2, name="head")(hidden)))
    return twins_with_equal_weights(*twins, sparse=False)


def twins_with_equal_weights(ours, theirs, sparse):
    random = np.random.default_rng(0)
    weights = [random.normal(0, 0.3, weight.shape).astype("float32") for weight in ours.get_weights()]
    if sparse:
        weights = [np.where(np.abs(w) < np.median(np.abs(w)), 0, w) if w.ndim > 1 else w for w in weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def tfmot_options(initialization, aggregation, preserve_sparsity, per_channel):
    from tensorflow_model_optimization.python.core.clustering.keras import cluster_config

    return {
        "cluster_centroids_init": tfmot.CentroidInitialization[initialization],
        "cluster_gradient_aggregation": cluster_config.GradientAggregation[aggregation],
        "preserve_sparsity": preserve_sparsity,
        "cluster_per_channel": per_channel,
    }


def compare_training(ours, theirs, x, y, jit_compile, loss="mse", optimizer="SGD"):
    """Trains both, and compares outputs, centroids and the weights beneath after every step."""
    started = [np.array(transform.centroids) for transform in ours.weight_transforms]
    ours.compile(getattr(keras.optimizers, optimizer)(0.05), loss, jit_compile=jit_compile)
    theirs.compile(getattr(tf_keras.optimizers, optimizer)(0.05), loss)
    wrappers = [layer for layer in theirs.layers if getattr(layer, "original_clusterable_weights", None)]
    for step in range(STEPS):
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
        batch = slice(step % 2, None, 2)
        ours.train_on_batch(x[batch], y[batch])
        theirs.train_on_batch(x[batch], y[batch])
        theirs(x)  # puts TFMOT's zero centroid back to 0
        their_centroids = [np.array(one) for layer in wrappers for one in layer.cluster_centroids.values()]
        their_weights = [np.array(one) for layer in wrappers for one in layer.original_clusterable_weights.values()]
        assert len(their_centroids) == len(ours.weight_transforms)
        for transform, expected in zip(ours.weight_transforms, their_centroids, strict=True):
            np.testing.assert_allclose(transform.centroids, expected, rtol=1e-4, atol=1e-5)
        for (weight, _), expected in zip(ours.transformed(), their_weights, strict=True):
            np.testing.assert_allclose(weight.variable, expected, rtol=1e-4, atol=1e-5)
    moved = [
        np.abs(np.array(one.centroids) - old).max() for one, old in zip(ours.weight_transforms, started, strict=True)
    ]
    assert min(moved) > 1e-4


@pytest.mark.parametrize(("initialization", "aggregation", "preserve_sparsity", "per_channel", "jit_compile"), CASES)
def test_training_is_tfmots(initialization, aggregation, preserve_sparsity, per_channel, jit_compile):
    random = np.random.default_rng(1)
    x, y = random.normal(size=(16, 8, 8, 2)).astype("float32"), random.normal(size=(16, 1)).astype("float32")
    ours, theirs = image_twins(preserve_sparsity)
    options = tfmot_options(initialization, aggregation, preserve_sparsity, per_channel)
    theirs = tfmot.cluster_weights(theirs, CLUSTERS, **options)
    ours = cluster_weights(ours, CLUSTERS, **options)  # TFMOT's own members will do
    compare_training(ours, theirs, x, y, jit_compile)


def test_embeddings_and_recurrent_layers_train_as_in_tfmot():
    random = np.random.default_rng(2)
    x, y = random.integers(0, 12, (16, 5)), random.normal(size=(16, 2)).astype("float32")
    ours, theirs = table_twins()
    theirs = tfmot.cluster_weights(theirs, 4, tfmot.CentroidInitialization.LINEAR)
    ours = cluster_weights(ours, 4, "linear")
    compare_training(ours, theirs, x, y, jit_compile=False)


def test_adam_moves_the_centroids_as_in_tfmot():
    random = np.random.default_rng(3)
    x, y = random.normal(size=(16, 8, 8, 2)).astype("float32"), random.normal(size=(16, 1)).astype("float32")
    ours, theirs = image_twins(sparse=False)
    theirs = tfmot.cluster_weights(theirs, CLUSTERS, tfmot.CentroidInitialization.DENSITY_BASED)
    ours = cluster_weights(ours, CLUSTERS, "density_based")
    compare_training(ours, theirs, x, y, jit_compile=False, optimizer="Adam")
