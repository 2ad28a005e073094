"""Nearest centroids and their gradients, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.clustering.association import clustered


def reference(values, centroids, upstream, average):
    """(nearest, gradient of the centroids) of values (n, channels) and centroids (channels, clusters)."""
    nearest = np.abs(values[:, :, np.newaxis] - centroids).argmin(-1)
    total, sizes = np.zeros_like(centroids), np.zeros_like(centroids)
    for channel in range(values.shape[1]):
        np.add.at(total[channel], nearest[:, channel], upstream[:, channel])
        np.add.at(sizes[channel], nearest[:, channel], 1)
    output = np.take_along_axis(centroids[np.newaxis], nearest[:, :, np.newaxis], -1)[:, :, 0]
    return output, total / np.maximum(sizes, 1) if average else total


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("channels", "clusters"), [(1, 2), (1, 17), (3, 5), (3, 16)])
def test_values_and_gradients_are_those_of_a_full_comparison(channels, clusters, jit_compile, average):
    random = np.random.default_rng(clusters)
    centroids = random.normal(size=(channels, clusters)).astype("float32")
    if clusters > 3:  # unsorted, one twice, two at equal distances from 0
        centroids[:, 3], centroids[:, 2] = centroids[:, 1], -centroids[:, 0]
    values = np.concatenate([random.normal(size=(200, channels)), np.zeros((3, channels)), centroids.T]).astype(
        "float32"
    )
    upstream = random.normal(size=values.shape).astype("float32")

    @tf.function(jit_compile=jit_compile)
    def run(values, centroids):
        with tf.GradientTape() as tape:
            tape.watch([values, centroids])
            output = clustered(values, centroids, average)
            loss = tf.reduce_sum(output * upstream)
        return output, *tape.gradient(loss, [values, centroids])

    output, values_gradient, centroids_gradient = run(
        tf.constant(values), tf.constant(centroids if channels > 1 else centroids[0])
    )
    expected, expected_gradient = reference(values, centroids, upstream, average)
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(values_gradient, upstream)
    np.testing.assert_allclose(np.reshape(centroids_gradient, centroids.shape), expected_gradient, rtol=1e-4, atol=1e-5)


def test_a_gradient_by_hand():
    with tf.GradientTape() as tape:
        weights, centroids = tf.constant([0.1, 0.4, 0.6, 1.2]), tf.constant([1.0, 0.0])
        tape.watch([weights, centroids])
        loss = tf.reduce_sum(clustered(weights, centroids) * [1.0, 2.0, 3.0, 4.0])
    to_weights, to_centroids = tape.gradient(loss, [weights, centroids])
    assert to_weights.numpy().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert to_centroids.numpy().tolist() == [7.0, 3.0]


def test_the_compiled_part_is_the_same_as_the_other():
    random = np.random.default_rng(0)
    weights, centroids = (
        tf.constant(random.normal(size=(7, 5)), tf.float32),
        tf.constant(random.normal(size=9), tf.float32),
    )
    gradients = []
    for compiled in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(centroids)
            loss = tf.reduce_sum(clustered(weights, centroids, compiled=compiled) * weights)
        gradients.append(tape.gradient(loss, centroids))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)


def test_a_million_weights_and_256_centroids_need_no_tensor_of_weights_by_centroids():
    weights, centroids = tf.zeros((1_000_000,)), tf.linspace(-1.0, 1.0, 256)
    graph = tf.function(clustered).get_concrete_function(weights, centroids).graph
    sizes = [tensor.shape.num_elements() or 0 for operation in graph.get_operations() for tensor in operation.outputs]
    assert max(sizes) == 1_000_000
