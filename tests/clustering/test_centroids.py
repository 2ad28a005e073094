"""Centroids at the start, against TFMOT's."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.clustering import CentroidInitialization
from tfdistill.clustering.centroids import initial_centroids

DETERMINISTIC = ("LINEAR", "DENSITY_BASED", "KMEANS_PLUS_PLUS")


def tfmot_centroids(weights, number_of_clusters, initialization, preserve_sparsity):
    from tensorflow_model_optimization.python.core.clustering.keras import cluster_config, clustering_centroids

    member = cluster_config.CentroidInitialization[initialization]
    initializer = clustering_centroids.CentroidsInitializerFactory.get_centroid_initializer(member)
    made = initializer(tf.constant(weights), number_of_clusters, preserve_sparsity=preserve_sparsity)
    return np.asarray(made.get_cluster_centroids())


@pytest.mark.parametrize("initialization", DETERMINISTIC)
@pytest.mark.parametrize("preserve_sparsity", [False, True])
@pytest.mark.parametrize(("number_of_clusters", "scale", "shift"), [(3, 0.05, 0.0), (8, 1.0, 0.3), (32, 0.05, 0.02)])
def test_centroids_are_tfmots(initialization, preserve_sparsity, number_of_clusters, scale, shift):
    weights = np.random.default_rng(number_of_clusters).normal(shift, scale, size=(40, 30)).astype("float32")
    if preserve_sparsity:
        weights[np.abs(weights) < scale / 2] = 0
    ours = initial_centroids(weights, number_of_clusters, CentroidInitialization[initialization], preserve_sparsity)
    theirs = tfmot_centroids(weights, number_of_clusters, initialization, preserve_sparsity)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("initialization", DETERMINISTIC)
def test_centroids_of_constant_and_of_one_sided_weights_are_tfmots(initialization):
    for weights, preserve_sparsity in (
        (np.full((5, 5), 0.5), False),
        (np.arange(25.0), True),
        (-np.arange(25.0), True),
    ):
        weights = weights.astype("float32")
        ours = initial_centroids(weights, 4, CentroidInitialization[initialization], preserve_sparsity)
        np.testing.assert_array_equal(ours, tfmot_centroids(weights, 4, initialization, preserve_sparsity))


def test_linear_centroids_by_hand():
    weights = np.array([-1.0, 0.0, 0.25, 3.0])
    assert initial_centroids(weights, 3, CentroidInitialization.LINEAR).tolist() == [-1.0, 1.0, 3.0]
    # one of two centroids beside 0 for the one negative weight and the three positive ones: round(2 / 4) = 0 of them
    weights = np.array([-1.0, 1.0, 2.0, 3.0, 0.0])
    assert initial_centroids(weights, 3, CentroidInitialization.LINEAR, True).tolist() == [0.0, 1.0, 3.0]


def test_weights_that_are_all_zero_have_centroids():
    for initialization in CentroidInitialization:
        for preserve_sparsity in (False, True):
            centroids = initial_centroids(np.zeros(9), 4, initialization, preserve_sparsity)
            assert centroids.shape == (4,) and np.isfinite(centroids).all()


def test_fewer_weights_than_centroids_repeat_the_last():
    weights = np.array([-3.0, 1.0, 2.0, 0.0, 0.0, 0.0])
    centroids = initial_centroids(weights, 6, CentroidInitialization.KMEANS_PLUS_PLUS, True)
    assert set(centroids.tolist()) == {-3.0, 0.0, 1.0, 2.0} and centroids.shape == (6,)


def test_random_centroids_lie_between_the_weights_and_follow_the_seed():
    import keras

    weights = np.linspace(2, 5, 100)
    draws = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        draws.append(initial_centroids(weights, 200, CentroidInitialization.RANDOM))
    assert draws[0].min() >= 2 and draws[0].max() <= 5 and abs(draws[0].mean() - 3.5) < 0.3
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
