"""tf_keras models are given to TFMOT."""

import numpy as np
import pytest

from tfdistill.clustering import CentroidInitialization, cluster_weights, strip_clustering

tf_keras = pytest.importorskip("tf_keras")
tfmot = pytest.importorskip("tensorflow_model_optimization").clustering.keras


def model():
    layers = [tf_keras.layers.Dense(6, name="hidden"), tf_keras.layers.Dense(4, name="head")]
    made = tf_keras.Sequential(layers)
    made.build((None, 5))
    return made


def wrappers(model):
    return [layer for layer in model.layers if type(layer).__name__ == "ClusterWeights"]


def test_a_tf_keras_model_becomes_tfmots_own():
    plain = model()
    ours = cluster_weights(
        plain, 4, CentroidInitialization.LINEAR, preserve_sparsity=True, cluster_gradient_aggregation="AVG"
    )
    assert isinstance(ours, tf_keras.Model)
    assert [type(layer).__module__.split(".")[0] for layer in ours.layers] == ["tensorflow_model_optimization"] * 2
    config = wrappers(ours)[0].get_config()
    assert config["number_of_clusters"] == 4 and config["preserve_sparsity"] and not config["cluster_per_channel"]
    assert config["cluster_centroids_init"] == tfmot.CentroidInitialization.LINEAR
    assert config["cluster_gradient_aggregation"].name == "AVG"


def test_outputs_are_those_of_calling_tfmot():
    plain, x = model(), np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    again = model()
    again.set_weights(plain.get_weights())
    ours, theirs = cluster_weights(plain, 3), tfmot.cluster_weights(again, 3)
    np.testing.assert_array_equal(ours(x), theirs(x))
    np.testing.assert_array_equal(strip_clustering(ours)(x), tfmot.strip_clustering(theirs)(x))


def test_layers_choose_in_a_tf_keras_model():
    ours = cluster_weights(model(), 3, layers=["h*n"])
    assert [layer.layer.name for layer in wrappers(ours)] == ["hidden"]
    with pytest.raises(ValueError, match="'nothing' fits no layer"):
        cluster_weights(model(), 3, layers=["nothing"])


def test_a_layer_and_a_list_of_tf_keras_go_to_tfmot_with_the_arguments_of_its_wrapper():
    assert cluster_weights(tf_keras.layers.Dense(3), 2, name="renamed").name == "renamed"
    assert (
        len(wrappers(tf_keras.Sequential(cluster_weights([tf_keras.layers.Dense(3), tf_keras.layers.Dense(2)], 2))))
        == 2
    )


def test_patterns_for_channels_are_refused():
    with pytest.raises(ValueError, match="cluster_per_channel"):
        cluster_weights(model(), 3, cluster_per_channel=["hidden"])
