"""What a step of Adam costs as tables grow: row-sparse beside Keras 3's and tf_keras's, in one run.

    python benchmarks/optimizers.py                          10,000 to 5,000,000 rows, about 20 minutes and 8 GB
    python benchmarks/optimizers.py --rows 10000 100000

Two tables of width 32 (users and items), their rows joined, one dense unit; batches of 1024 pairs of ids drawn uniformly,
fresh in every step. A step is forward pass, gradients and update in one tf.function, with XLA and without. Every case
runs in a process of its own: warm-up, then rounds, whose medians are printed with the fastest. Memory is the peak of the
process in training, beside what it held when tables and slots were made and no step was taken; both less what it held
before, when a model of 8 rows had trained, so that what TensorFlow and its compiler take once is left out. (Tables take
some percent more than their numbers, by TensorFlow's allocator.) Needs tf_keras (tfdistill[legacy]).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from rounds import describe_run

from tfdistill._tensorflow import import_quietly
from tfdistill.recipes.environment import peak_memory_bytes, reset_peak_memory

ROWS, WIDTH, BATCH, SEED = (10_000, 100_000, 1_000_000, 5_000_000), 32, 1024, 1
WARM_UP, STEPS, ROUNDS = 5, 10, 7
OURS, KERAS, TF_KERAS = "tfdistill Adam", "Keras 3 Adam", "tf_keras Adam"
NAMES = (OURS, "tfdistill Adam, lazy=False", "tfdistill RowWiseAdagrad", KERAS, TF_KERAS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="of each of the two tables")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of {STEPS} steps, default {ROUNDS}")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of all threads, for machines that throttle")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    import_quietly()
    if arguments.case:
        name, rows, xla = arguments.case
        clock = time.process_time if arguments.cpu else time.perf_counter
        print(json.dumps(measure(name, int(rows), xla == "True", arguments.rounds, clock)))
        return
    print(
        describe_run(
            f"two tables of width {WIDTH}, batch {BATCH}, {STEPS} steps a round, {arguments.rounds} rounds, seed {SEED}, "
            f"{'CPU' if arguments.cpu else 'wall'} time"
        )
    )
    print(f"\n{'':36}  without XLA                            with XLA")
    print(f"{'':27}{'rows':>9}" + 2 * "  ms a step  fastest  GB peak  built")
    found = {}
    for rows in arguments.rows:
        for name in NAMES:
            plain, xla = (run(name, rows, xla, arguments) for xla in (False, True))
            found[name, rows] = plain, xla
            columns = "".join(
                f"{one['median']:11.2f}{one['fastest']:9.2f}{one['peak'] / 1e9:9.2f}{one['built'] / 1e9:7.2f}"
                for one in (plain, xla)
            )
            print(f"{name:27}{rows:9,}{columns}", flush=True)
    summarize(found, arguments.rows)


def summarize(found, sizes):
    """Prints how many times as fast ours is, and how its time grows."""
    print()
    for rows in sizes:
        for peer in (KERAS, TF_KERAS):
            plain, xla = (found[peer, rows][way]["median"] / found[OURS, rows][way]["median"] for way in (0, 1))
            print(f"{rows:9,} rows: {peer} / {OURS:20} {plain:7.1f} without XLA {xla:7.1f} with")
    first = 100_000 if 100_000 in sizes else sizes[0]
    plain, xla = (found[OURS, sizes[-1]][way]["median"] / found[OURS, first][way]["median"] for way in (0, 1))
    print(f"{OURS}, {sizes[-1]:,} rows / {first:,} rows {plain:7.2f} without XLA {xla:7.2f} with")


def run(name, rows, xla, arguments):
    """What `measure` returns in a process of its own."""
    command = [sys.executable, __file__, "--case", name, str(rows), str(xla), "--rounds", str(arguments.rounds)]
    command += ["--cpu"] if arguments.cpu else []
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def measure(name, rows, xla, rounds, clock):
    """{median, fastest: milliseconds a step; peak, built: bytes above what was held before the model}."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(SEED)
    batches = tf.constant(random.integers(0, rows, (WARM_UP + STEPS * rounds, 2, BATCH)).astype("int32"))
    trainer(name, 8, xla)(batches[0] % 8)
    reset_peak_memory()
    before = peak_memory_bytes()
    step = trainer(name, rows, xla)
    reset_peak_memory()
    built = peak_memory_bytes()
    for ids in batches[:WARM_UP]:
        step(ids).numpy()
    milliseconds = []
    for place in range(WARM_UP, len(batches), STEPS):
        started = clock()
        for ids in batches[place : place + STEPS]:
            loss = step(ids)
        loss.numpy()
        milliseconds.append(1000 * (clock() - started) / STEPS)
    return {
        "median": statistics.median(milliseconds),
        "fastest": min(milliseconds),
        "peak": peak_memory_bytes() - before,
        "built": built - before,
    }


def trainer(name, rows, xla):
    """A function (ids [2, batch]) -> loss that trains two tables of ids of users and items, made anew."""
    import keras
    import tensorflow as tf
    import tf_keras

    from tfdistill import optimizers

    make = {
        OURS: lambda: optimizers.Adam(1e-3),
        "tfdistill Adam, lazy=False": lambda: optimizers.Adam(1e-3, lazy=False),
        "tfdistill RowWiseAdagrad": lambda: optimizers.RowWiseAdagrad(1e-3),
        KERAS: lambda: keras.optimizers.Adam(1e-3),
        TF_KERAS: lambda: tf_keras.optimizers.Adam(1e-3, jit_compile=False),
    }
    library = tf_keras if name == TF_KERAS else keras
    inputs = [library.Input((), dtype="int32", name=entity) for entity in ("user", "item")]
    looked_up = [library.layers.Embedding(rows, WIDTH, embeddings_initializer="zeros")(ids) for ids in inputs]
    model = library.Model(inputs, library.layers.Dense(1)(library.layers.Concatenate()(looked_up)))
    weights, optimizer = model.trainable_variables, make[name]()
    optimizer.build(weights)

    @tf.function(jit_compile=xla)
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model([ids[0], ids[1]], training=True) - 1.0))
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    return step


if __name__ == "__main__":
    main()
