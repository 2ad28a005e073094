"""Wrong arguments are told at the call."""

import keras
import numpy as np
import pytest

from tfdistill.clustering import ClusteringSummaries, cluster_weights, strip_clustering


def model():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, name="hidden"), keras.layers.Dense(5, name="head")]
    )


@pytest.mark.parametrize("number", [1, 0, -3, 2.5, 4.0, True, "four", None])
def test_the_number_of_clusters_is_a_whole_number_of_two_or_more(number):
    with pytest.raises(ValueError, match="`number_of_clusters` must be a whole number of at least 2.*Received"):
        cluster_weights(model(), number)


def test_keeping_zeros_takes_three_clusters():
    with pytest.raises(ValueError, match="at least 3"):
        cluster_weights(model(), 2, preserve_sparsity=True)
    assert cluster_weights(model(), np.int64(3), preserve_sparsity=True).weight_transforms[0].number_of_clusters == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cluster_centroids_init": "kmeans"}, "LINEAR, RANDOM, DENSITY_BASED, KMEANS_PLUS_PLUS. Received.*'kmeans'"),
        ({"cluster_gradient_aggregation": "max"}, "SUM, AVG. Received.*'max'"),
        ({"preserve_sparsity": "yes"}, "`preserve_sparsity` must be True or False"),
        ({"layers": ["hiden"]}, "'hiden' fits no kernel or table of .*The nearest: 'hidden'"),
        ({"layers": ["hidden/bias"]}, "'hidden/bias' fits no kernel or table"),
        ({"layers": []}, "must not be empty"),
        ({"layers": 3}, "must be a list of names"),
        ({"cluster_per_channel": True}, "is for convolutions"),
        ({"cluster_per_channel": ["heat"]}, "`cluster_per_channel`: 'heat' fits no.*'head'"),
        ({"clusters": 3}, "Unknown arguments: .'clusters'."),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        cluster_weights(model(), 4, **arguments)


def test_a_layer_of_another_model_is_told_apart():
    with pytest.raises(ValueError, match="'stranger' fits no kernel or table"):
        cluster_weights(model(), 4, layers=[keras.layers.Dense(6, name="stranger")])


@pytest.mark.parametrize("thing", ["model", 3, None, [3]])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(ValueError, match="`to_cluster` must be a Keras model, a layer or a list"):
        cluster_weights(thing, 4)


def test_a_model_without_kernels_is_refused():
    with pytest.raises(ValueError, match="no kernel or table"):
        cluster_weights(keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()]), 4)
    with pytest.raises(ValueError, match="no kernel or table"):
        cluster_weights([], 4)


def test_more_clusters_than_weights_are_refused_and_few_weights_skipped_with_a_warning():
    with pytest.raises(ValueError, match=r"hidden/kernel \(24\), head/kernel \(30\)"):
        cluster_weights(model(), 40)
    with pytest.warns(UserWarning, match=r"number_of_clusters=25: hidden/kernel \(24\)"):
        clustered = cluster_weights(model(), 25)
    assert [weight.path for weight, _ in clustered.transformed()] == ["head/kernel"]


def test_clustering_twice_is_refused():
    with pytest.raises(ValueError, match="clustered already"):
        cluster_weights(cluster_weights(model(), 4), 3)
    both = cluster_weights(cluster_weights(model(), 4, layers=["head"]), 3)
    assert [(weight.path, transforms[0].number_of_clusters) for weight, transforms in both.transformed()] == [
        ("hidden/kernel", 3),
        ("head/kernel", 4),
    ]


def test_a_choice_that_fits_nothing_is_told_when_a_model_is_first_called():
    unbuilt = cluster_weights(keras.Sequential([keras.layers.Dense(6, name="hidden")]), 4, layers=["nothing"])
    for _ in range(2):
        with pytest.raises(ValueError, match="'nothing' fits no"):
            unbuilt(np.ones((1, 4)))


def test_stripping_a_plain_model_is_refused():
    with pytest.raises(ValueError, match="no clustering to strip"):
        strip_clustering(model())


def test_summaries_of_a_plain_model_are_refused(tmp_path):
    plain = model()
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="has no clustered weights"):
        plain.fit(np.ones((2, 4)), np.ones((2, 5)), verbose=0, callbacks=[ClusteringSummaries(str(tmp_path))])
    with pytest.raises(ValueError, match="`cluster_update_freq`"):
        ClusteringSummaries(str(tmp_path), cluster_update_freq=0)
