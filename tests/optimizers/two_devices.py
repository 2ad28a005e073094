"""Run by test_two_devices.py in a process of its own, with two devices: prints what it found as JSON."""

import json

import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras  # noqa: E402
import numpy as np  # noqa: E402

from tests.optimizers import reference  # noqa: E402
from tests.optimizers.schedule import Falling  # noqa: E402
from tfdistill import optimizers  # noqa: E402
from tfdistill.recipes.environment import peak_memory_bytes, reset_peak_memory  # noqa: E402


def bytes_added_by_steps(rows, xla):
    """How far the peak of memory rises in training, weights and slots aside."""
    model = keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Embedding(rows, 32), keras.layers.Dense(1)])
    optimizer = optimizers.Adam(0.1, global_clipnorm=1.0, weight_decay=0.1)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=xla)
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(ids, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    reset_peak_memory()
    before = peak_memory_bytes()
    for ids in np.random.default_rng(0).integers(0, rows, (5, 8)).astype("int32"):
        step(tf.constant(ids))
    return peak_memory_bytes() - before


def trained_on_two(kind, lazy):
    """The tables of both devices, and whether rows alone were updated; each device has half of every step's gradient."""
    strategy, sparse = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), []
    with strategy.scope():
        variables = [
            keras.Variable(value.astype("float32"), name=name)
            for value, name in zip(reference.start(), ("embeddings", "vector"), strict=True)
        ]
        optimizer = getattr(optimizers, kind)(Falling(), weight_decay=0.1, global_clipnorm=0.5, lazy=lazy)
        optimizer.build(variables)
    update_step = optimizer.update_step
    optimizer.update_step = lambda one, *rest: (
        sparse.append(isinstance(one, tf.IndexedSlices)) or update_step(one, *rest)
    )

    @tf.function
    def step(ids, values, vector):
        def on_replica(ids, values, vector):
            table = tf.IndexedSlices(values, ids, tf.constant((reference.ROWS, reference.WIDTH)))
            optimizer.apply([table, vector / 2], variables)

        strategy.run(on_replica, args=(ids, values, vector))

    def halves(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
        )

    for ids, values, vector in reference.batches():
        step(halves(ids), halves(values.astype("float32")), tf.constant(vector, "float32"))
    return [value.numpy() for value in variables[0].value.values], any(sparse)


def main():
    found = {"bytes": {}, "mirrored": {}}
    for xla in (False, True):
        bytes_added_by_steps(8, xla)  # what compilers and kernels take once
        found["bytes"][str(xla)] = bytes_added_by_steps(1_000_000, xla)
    for kind, lazy in (("Adam", True), ("Adam", False), ("RowWiseAdagrad", True)):
        both, sparse = trained_on_two(kind, lazy)
        expected = reference.train(kind, reference.batches(), lazy, 0.1, global_clipnorm=0.5)[0]
        found["mirrored"][f"{kind}, lazy={lazy}"] = {
            "apart": float(np.abs(both[0] - expected).max()),
            "replicas_equal": bool(np.array_equal(*both)),
            "sparse": sparse,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
