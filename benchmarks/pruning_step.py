"""What pruning costs: a step between mask updates beside the plain model's and TFMOT's, and an update, in one run.

    python benchmarks/pruning_step.py            without XLA
    python benchmarks/pruning_step.py --xla      with it

The model is a classifier of dense layers with 1.6 million weights, all pruned. Its masks are made at step 1, before the
clock starts, and the schedule has no turn after it. Rounds alternate between the peers, each pair of rounds gives a
ratio, and the median of the ratios is printed with the lowest and the highest. Beside it stands the ratio of the fastest
rounds: a machine that is throttled at times only ever adds to a round. Needs tf_keras and TFMOT (tfdistill[legacy]).
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # TFMOT takes tf.keras for Keras 2

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

BATCH, STEPS, ROUNDS, INPUTS, CLASSES, SEED = 1024, 20, 15, 128, 10, 1
WIDTHS = (1024, 1024, 384)
UPDATED = 1_000_000  # weights of the update that is timed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xla", action="store_true", help="compile every step, and the update, with XLA")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"examples a step, default {BATCH}")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of all threads, for machines that throttle")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pairs of rounds, default {ROUNDS}")
    arguments = parser.parse_args()
    import_quietly()
    import keras
    import numpy as np

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    x = random.normal(size=(arguments.batch * STEPS, INPUTS)).astype("float32")
    y = random.integers(0, CLASSES, arguments.batch * STEPS)
    print(
        describe_run(
            f"batch {arguments.batch}, {STEPS} steps a round, {arguments.rounds} rounds, seed {SEED}, XLA {arguments.xla}, "
            f"{'CPU' if arguments.cpu else 'wall'} time"
        )
    )
    clock = time.process_time if arguments.cpu else time.perf_counter
    seconds = timed(step_jobs(x, y, arguments.batch, arguments.xla), arguments.rounds, clock)
    for name, times in seconds.items():
        print(f"{name:42} {1000 * statistics.median(times) / STEPS:7.2f} ms a step")
    print()
    compare("tfdistill / Keras plain", seconds["tfdistill, pruned"], seconds["Keras, plain"])
    compare("tfdistill, global / Keras plain", seconds["tfdistill, pruned, global"], seconds["Keras, plain"])
    compare("TFMOT / tf_keras plain", seconds["TFMOT, pruned"], seconds["tf_keras, plain"])
    compare("tfdistill / TFMOT", seconds["tfdistill, pruned"], seconds["TFMOT, pruned"])
    print()
    for name, times in timed(update_jobs(random, arguments.xla), arguments.rounds, clock).items():
        print(f"{name:42} {1000 * statistics.median(times):7.2f} ms, fastest {1000 * min(times):.2f}")


def step_jobs(x, y, batch, xla):
    """{name: function that trains for a round}."""
    import keras
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

    from tfdistill import sparsity

    once = {"target_sparsity": 0.5, "begin_step": 1, "frequency": 10**9}
    schedule, theirs = sparsity.ConstantSparsity(**once), tfmot.sparsity.keras.ConstantSparsity(**once)
    models = {
        "Keras, plain": (keras, network(keras)),
        "tfdistill, pruned": (keras, sparsity.prune_low_magnitude(network(keras), schedule)),
        "tfdistill, pruned, global": (keras, sparsity.prune_low_magnitude(network(keras), schedule, scope="global")),
        "tf_keras, plain": (tf_keras, network(tf_keras)),
        "TFMOT, pruned": (tf_keras, tfmot.sparsity.keras.prune_low_magnitude(network(tf_keras), theirs)),
    }
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch, drop_remainder=True).cache().prefetch(4)
    jobs = {}
    for name, (library, model) in models.items():
        loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=xla)
        needed = [tfmot.sparsity.keras.UpdatePruningStep()] if name.startswith("TFMOT") else []
        jobs[name] = lambda model=model, needed=needed: model.fit(data, verbose=0, shuffle=False, callbacks=needed)
    return jobs


def update_jobs(random, xla):
    """{name: function that makes the mask of a million weights}."""
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning

    from tfdistill.sparsity import ConstantSparsity
    from tfdistill.sparsity.masks import largest

    weight = tf.Variable(random.normal(size=(1000, UPDATED // 1000)).astype("float32"))
    tfmot = Pruning(lambda: tf.constant(1), [], ConstantSparsity(0.5, 1), (1, 1), "AVG")
    functions = {
        "tfdistill, mask of 1,000,000 weights": lambda: largest([tf.abs(weight)], tf.constant(0.5))[0][0],
        "TFMOT, mask of 1,000,000 weights": lambda: tfmot._update_mask(weight)[1],
    }
    compiled = {name: tf.function(function, jit_compile=xla) for name, function in functions.items()}
    return {name: lambda function=function: function().numpy() for name, function in compiled.items()}


def network(library):
    """A classifier of dense layers of Keras or tf_keras."""
    hidden = [library.layers.Dense(units, "relu") for units in WIDTHS]
    return library.Sequential([library.Input((INPUTS,)), *hidden, library.layers.Dense(CLASSES)])


if __name__ == "__main__":
    main()
