"""Clustering on several devices."""

import subprocess
import sys

SCRIPT = """
import tensorflow as tf

device = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np

import tfdistill.clustering.clustered_weight
from tfdistill.clustering import cluster_weights

tfdistill.clustering.clustered_weight.COMPILED_FROM = 1  # as with large weights
random = np.random.default_rng(0)
x, y = random.normal(size=(16, 6)).astype("float32"), random.normal(size=(16, 3)).astype("float32")


def trained(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        layers = [keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
        model = cluster_weights(keras.Sequential(layers), 4, "linear", preserve_sparsity=True)
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()


two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
one = trained(tf.distribute.get_strategy())
for ours, expected in zip(two, one, strict=True):
    np.testing.assert_allclose(ours, expected, atol=1e-5)
"""


def test_two_devices_train_what_one_does():
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
