"""Examples a second of writing a soft-target cache beside `teacher.predict`, and of reading it in tf.data, in one run.

    python benchmarks/soft_target_cache.py

Rounds alternate between the two, so that a machine that slows down slows both; the medians and their ratio are printed.
"""

import statistics
import tempfile
import time
from pathlib import Path

from tfdistill._tensorflow import import_quietly

ROUNDS, SEED, CLASSES, BATCHES_READ = 7, 1, 100, 400


def main():
    import_quietly()
    import keras
    import numpy as np
    import tensorflow as tf

    from tfdistill.soft_targets import write_soft_targets

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, NumPy {np.__version__}, {ROUNDS} rounds")

    def dense_teacher():
        hidden = [keras.layers.Dense(512, "relu", name=f"hidden_{number}") for number in range(3)]
        return keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(CLASSES)])

    def recommender():
        inputs = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item", "city", "device")}
        embedded = [keras.layers.Embedding(10_000, 64)(column) for column in inputs.values()]
        hidden = keras.layers.Concatenate()(embedded)
        for units in (512, 256):
            hidden = keras.layers.Dense(units, "relu")(hidden)
        return keras.Model(inputs, keras.layers.Dense(1)(hidden))

    images = random.random(size=(50_000, 784), dtype="float32")
    columns = {name: random.integers(0, 10_000, 500_000).astype("int32") for name in ("user", "item", "city", "device")}
    jobs = {
        "784 numbers, 3 layers of 512, 100 classes": (dense_teacher(), images, 2048, {}),
        "the same, top 10 in float16": (dense_teacher(), images, 2048, {"top_k": 10, "dtype": "float16"}),
        "4 ids, layers of 512 and 256, 1 logit": (recommender(), columns, 8192, {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        for job, (teacher, inputs, batch_size, settings) in jobs.items():
            example_id = np.arange(len(inputs) if isinstance(inputs, np.ndarray) else len(inputs["user"]))
            seconds = {"predict": [], "cache": []}
            for number in range(ROUNDS + 1):
                path = Path(folder) / job / str(number)
                started = time.perf_counter()
                teacher.predict(inputs, batch_size=batch_size, verbose=0)
                between = time.perf_counter()
                soft_targets = write_soft_targets(path, teacher, inputs, example_id, batch_size=batch_size, **settings)
                if number:  # predict traces in the first round alone; the cache in each
                    seconds["predict"].append(between - started)
                    seconds["cache"].append(time.perf_counter() - between)
            speed = {name: len(example_id) / statistics.median(times) for name, times in seconds.items()}
            ratio = statistics.median(one / other for one, other in zip(*seconds.values(), strict=True))
            print(f"{job}, {len(example_id):,} examples, batch {batch_size}")
            print(f"  {'teacher.predict':22}  {speed['predict']:12,.0f} examples/s")
            print(f"  {'write_soft_targets':22}  {speed['cache']:12,.0f} examples/s  {ratio:5.2f} x predict")
            x = inputs if isinstance(inputs, dict) else {"inputs": inputs}
            _read(tf, soft_targets, {"example_id": example_id, **x})


def _read(tf, soft_targets, x):
    """Prints the speed of a pipeline of shuffled batches alone, and with the soft targets from memory and from files."""
    count, read = len(soft_targets), 1024 * BATCHES_READ
    x = {name: tf.constant(column) for name, column in x.items()}
    rows = tf.data.Dataset.range(BATCHES_READ).map(lambda _: tf.random.uniform([1024], 0, count, tf.int32))
    batches = rows.map(lambda chosen: {name: tf.gather(column, chosen) for name, column in x.items()}, 2)
    peers = {
        "tf.data alone": batches.prefetch(2),
        "soft targets in memory": soft_targets.attach(batches),
        "soft targets in files": soft_targets.attach(batches, memory_limit=0),
    }
    seconds = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, dataset in peers.items():
            started = time.perf_counter()
            for _ in dataset:
                pass
            seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        print(f"  {name:22}  {read / statistics.median(times):12,.0f} examples/s")


if __name__ == "__main__":
    main()
