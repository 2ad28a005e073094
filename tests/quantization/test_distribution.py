"""Quantisation-aware training on several devices."""

import subprocess
import sys

SCRIPT = """
import tensorflow as tf

device = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np

from tfdistill.quantization import QuantizeScheme, quantize_model

random = np.random.default_rng(0)
half = random.normal(size=(4, 6)).astype("float32")
x = np.concatenate([half, half])  # each device sees the same extremes
y = random.normal(size=(8, 3)).astype("float32")


def trained(strategy, ranges):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        layers = [keras.Input((6,)), keras.layers.Dense(8, "gelu"), keras.layers.Dense(3)]
        model = quantize_model(keras.Sequential(layers), QuantizeScheme(ranges=ranges, delay_steps=1))
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()


mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for ranges in ("ema", "learned"):
    two = trained(mirrored, ranges)
    one = trained(tf.distribute.get_strategy(), ranges)
    for ours, expected in zip(two, one, strict=True):
        # Learned ranges are scaled by the number of values on each device.
        np.testing.assert_allclose(ours, expected, atol=1e-5 if ranges == "ema" else 0.02)
"""


def test_two_devices_train_what_one_does():
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
