"""What clustering costs: milliseconds a step beside the same model without it, and beside TFMOT on the tf_keras twin.

    python benchmarks/clustering_step.py --xla                 16 clusters, compiled with XLA
    python benchmarks/clustering_step.py --xla --clusters 256
    python benchmarks/clustering_step.py --no-tfmot            without XLA and without the twin

All kernels of a classifier of 1.6 million weights are clustered. Rounds alternate between the models, each pair of rounds
gives a ratio, and the median of the ratios is printed with the lowest and the highest. Beside it stands the ratio of the
fastest rounds: a machine that is throttled at times only ever adds to a round.
"""

import argparse
import os
import statistics

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

WIDTH, HIDDEN, CLASSES = 256, (1024, 1024, 256), 10
BATCH, STEPS, ROUNDS, CLUSTERS, SEED = 1024, 10, 11, 16, 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xla", action="store_true", help="compile every step with XLA")
    parser.add_argument("--clusters", type=int, default=CLUSTERS, help=f"default {CLUSTERS}")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"default {BATCH}")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps a round, default {STEPS}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pairs of rounds, default {ROUNDS}")
    parser.add_argument("--no-tfmot", action="store_true", help="leave out the tf_keras twin")
    arguments = parser.parse_args()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import_quietly()
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    x = random.normal(size=(arguments.batch, WIDTH)).astype("float32")
    y = random.integers(0, CLASSES, arguments.batch)
    data = tf.data.Dataset.from_tensors((x, y)).repeat(arguments.steps).prefetch(2)
    models = models_of(arguments.clusters, with_tfmot=not arguments.no_tfmot)
    weights = models["plain"].count_params()
    print(
        describe_run(
            f"{weights:,} parameters, {arguments.clusters} clusters, batch {arguments.batch}, {arguments.steps} steps a round, "
            f"{arguments.rounds} rounds, seed {SEED}, XLA {arguments.xla}, wall time"
        )
    )
    for model in models.values():
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=arguments.xla)
    jobs = {name: lambda model=model: model.fit(data, verbose=0) for name, model in models.items()}
    seconds = timed(jobs, arguments.rounds)
    for name, times in seconds.items():
        print(f"{name:24} {1000 * statistics.median(times) / arguments.steps:8.2f} ms a step")
    print()
    compare("clustered / plain", seconds["clustered"], seconds["plain"])
    if not arguments.no_tfmot:
        compare("TFMOT clustered / tf_keras plain", seconds["TFMOT clustered"], seconds["tf_keras plain"])
        compare("clustered / TFMOT clustered", seconds["clustered"], seconds["TFMOT clustered"])


def models_of(clusters, with_tfmot):
    """{name: model}, all of the same shape."""
    import keras

    from tfdistill.clustering import CentroidInitialization, cluster_weights

    linear = CentroidInitialization.LINEAR
    models = {"plain": network(keras), "clustered": cluster_weights(network(keras), clusters, linear)}
    if with_tfmot:
        import tf_keras

        models["tf_keras plain"] = network(tf_keras)
        models["TFMOT clustered"] = cluster_weights(network(tf_keras), clusters, linear)
    return models


def network(library):
    """A classifier of dense layers, of Keras or of tf_keras."""
    layers = [library.layers.Dense(units, "relu") for units in HIDDEN]
    model = library.Sequential([library.Input((WIDTH,)), *layers, library.layers.Dense(CLASSES, "softmax")])
    model.build((None, WIDTH))
    return model


if __name__ == "__main__":
    main()
