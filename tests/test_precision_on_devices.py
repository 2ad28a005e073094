"""Loss scaling on several devices."""

import subprocess
import sys

SCRIPT = """
import tensorflow as tf

device = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np

from tfdistill import Distiller, losses
from tfdistill.distribution import fit_over_replicas
from tfdistill.precision import building_in, with_loss_scaling

random = np.random.default_rng(0)
x, y = random.normal(size=(8, 4)).astype("float32"), random.integers(0, 3, 8)
large = np.concatenate([x[:4], 1e4 * x[4:]])  # gradients overflow on the second device alone


def network(precision):
    keras.utils.set_random_seed(3)
    with building_in(precision):
        logits = keras.layers.Dense(3, dtype="float32")
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), logits])


with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    student, alone = network("mixed_float16"), network("mixed_float16")
    distiller = Distiller(network("float32"), student, losses.LogitsDistillation())
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.01), hard, jit_compile=False)
    alone.compile(with_loss_scaling(keras.optimizers.SGD(0.01), alone), hard, jit_compile=False)
for model, trained in ((distiller, student), (fit_over_replicas(alone), alone)):
    before, optimizer = trained.get_weights(), model.optimizer
    for batch, steps in ((large, 0), (x, 1)):
        model.fit(batch, y, batch_size=8, shuffle=False, verbose=0)
        assert (float(optimizer.dynamic_scale.numpy()), int(optimizer.iterations.numpy())) == (2.0**14, steps)
        same = [(new == old).all() for new, old in zip(trained.get_weights(), before)]
        assert all(same) if steps == 0 else not any(same), same
"""


def test_an_overflow_on_one_device_skips_the_step_on_all():
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
