"""Pruning and clustering under quantisation: zeros stay zeros, shared values stay shared."""

import keras
import numpy as np
import pytest

from tests.quantization.models import cnn
from tfdistill.clustering import cluster_weights
from tfdistill.parametrize import WeightTransform, parametrize
from tfdistill.quantization import QuantizeScheme, quantize_model, strip_quantization
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(32, 10, 10, 1)).astype(np.float32), RANDOM.normal(size=(32, 5)).astype(np.float32)


class HalfZero(WeightTransform):
    """Zeros in every second place."""

    order = 0

    def call(self, value, training=False):
        flat = keras.ops.reshape(value, (-1,))
        return keras.ops.reshape(flat * keras.ops.cast(keras.ops.arange(flat.shape[0]) % 2, "float32"), value.shape)


class ThreeValues(WeightTransform):
    """The signs, times a half."""

    order = 1

    def call(self, value, training=False):
        signs = keras.ops.sign(value) * 0.5
        return keras.ops.stop_gradient(signs - value) + value


def trained(model):
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    return model


def kernels(model, order=2):
    """The rounded kernels of those weights that have a transform of an order: 0 pruned, 1 clustered, 2 quantised."""
    plain = strip_quantization(model)
    return [
        plain.get_layer(weight.layer.name).kernel.numpy()
        for weight, transforms in model.transformed()
        if any(transform.order == order for transform in transforms)
    ]


@pytest.mark.parametrize("first", ("prune", "cluster"))
def test_transforms_work_in_their_order_whichever_was_put_on_first(first):
    model = cnn()
    steps = [lambda weight: HalfZero() if weight.is_multiplied else None]
    steps.append(lambda weight: ThreeValues() if weight.is_multiplied else None)
    for choose in steps if first == "prune" else steps[::-1]:
        model = parametrize(model, choose)
    quantized = trained(quantize_model(model, QuantizeScheme(weight_bits=4)))
    assert [type(one).__name__ for one in next(quantized.transformed())[1]] == [
        "HalfZero",
        "ThreeValues",
        "QuantizedWeight",
    ]
    for kernel in kernels(quantized):
        assert (kernel.reshape(-1)[::2] == 0).all() and len(np.unique(kernel)) <= 3


def test_pruned_weights_stay_zero_and_are_still_pruned():
    pruned = prune_low_magnitude(cnn(), ConstantSparsity(0.75, 0, frequency=1))
    quantized = trained(quantize_model(pruned))
    for kernel in kernels(quantized, order=0):
        assert np.mean(kernel == 0) == pytest.approx(0.75, abs=0.03)


def test_clustered_weights_keep_their_number_of_values_over_the_whole_weight():
    quantized = trained(quantize_model(cluster_weights(cnn(), number_of_clusters=4)))
    assert all(len(np.unique(kernel)) <= 4 for kernel in kernels(quantized, order=1))


def test_weights_clustered_by_channel_keep_their_number_of_values_in_each():
    model = keras.Sequential([keras.Input((10, 10, 1)), keras.layers.Conv2D(3, 3, name="conv")])
    clustered = cluster_weights(model, number_of_clusters=2, cluster_per_channel=True)
    quantized = quantize_model(clustered)
    kernel = strip_quantization(quantized).layers[0].kernel.numpy()
    assert [len(np.unique(kernel[..., channel])) for channel in range(3)] == [2, 2, 2]


def test_pruned_then_clustered_then_quantised():
    model = trained(prune_low_magnitude(cnn(), ConstantSparsity(0.5, 0, frequency=1)))
    model = trained(cluster_weights(model, number_of_clusters=4, preserve_sparsity=True))
    quantized = trained(quantize_model(model))
    for kernel in kernels(quantized, order=1):
        assert len(np.unique(kernel)) <= 4 and np.mean(kernel == 0) >= 0.45


def test_layers_wrapped_one_by_one_are_refused_with_the_way_out():
    wrapped = prune_low_magnitude(keras.layers.Dense(3))
    model = keras.Sequential([keras.Input((4,)), wrapped])
    with pytest.raises(ValueError, match="Prune or cluster the whole model instead"):
        quantize_model(model)
