"""How fast retrieval models train: pairs a second beside implicit (BPR) and TFRS (softmax in the batch), in one run.

    python benchmarks/retrieval_training.py                      pairs drawn at random: 6,000 users, 4,000 items, 800,000 pairs
    python benchmarks/retrieval_training.py --data ml-1m         MovieLens-1M, every rating a choice
    python benchmarks/retrieval_training.py --width 20

Jobs of the same work alternate, an epoch a round; the median of the ratios of paired rounds is printed with the lowest and the
highest, and the ratio of the fastest rounds. implicit writes its own loop in C++, plain stochastic gradient descent without
locks; ours and TFRS's are Adam on all rows. Needs tfdistill[benchmarks].
"""

import argparse
import os
import statistics

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # TFRS takes tf.keras for Keras 2

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

BATCH, WIDTH, ROUNDS, SEED = 1024, 64, 5, 1
USERS, ITEMS, PAIRS = 6000, 4000, 800_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of MovieLens-1M; default: pairs drawn at random")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"of the vectors, default {WIDTH}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"epochs of each, default {ROUNDS}")
    arguments = parser.parse_args()
    import_quietly()
    dataset = pairs_of(arguments.data)
    pairs = len(dataset.pairs["train"])
    print(
        describe_run(
            f"{dataset.users:,} users, {dataset.items:,} items, {pairs:,} pairs an epoch, width {arguments.width}, "
            f"batch {BATCH}, {arguments.rounds} rounds, seed {SEED}, wall time"
        )
    )
    jobs = {
        "tfdistill, BPR": ours(dataset, arguments.width, "bpr"),
        "implicit, BPR": with_implicit(dataset, arguments.width),
        "tfdistill, softmax in the batch": ours(dataset, arguments.width, "in_batch_softmax"),
        "TFRS, softmax in the batch": with_tfrs(dataset, arguments.width),
    }
    seconds = timed(jobs, arguments.rounds)
    for name, times in seconds.items():
        print(f"{name:34} {pairs / statistics.median(times):12,.0f} pairs/s, fastest {pairs / min(times):12,.0f}")
    print()
    compare("seconds: tfdistill / implicit, BPR", seconds["tfdistill, BPR"], seconds["implicit, BPR"])
    compare(
        "seconds: tfdistill / TFRS, softmax",
        *(seconds[f"{one}, softmax in the batch"] for one in ("tfdistill", "TFRS")),
    )


def pairs_of(folder):
    """The data set, most of it to train on."""
    import numpy as np

    from tfdistill.data import ImplicitDataset, implicit, movielens_1m

    if folder is not None:
        return implicit(movielens_1m(folder, labels="all"), "leave_one_out", seed=SEED)
    random = np.random.default_rng(SEED)
    numbers = random.choice(USERS * ITEMS, PAIRS, replace=False)
    pairs = np.stack(np.divmod(numbers, ITEMS), axis=1)
    return ImplicitDataset(USERS, ITEMS, {"train": pairs[1000:], "validation": pairs[:500], "test": pairs[500:1000]})


def ours(dataset, width, base_loss):
    """A function that trains for an epoch, negatives drawn anew."""
    import keras

    from tfdistill import RetrievalDistiller
    from tfdistill.models import bpr_mf

    distiller = RetrievalDistiller(None, bpr_mf(dataset.users, dataset.items, width), base_loss=base_loss)
    distiller.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    return lambda: distiller.fit_retrieval(
        dataset, epochs=1, batch_size=BATCH, seed=SEED, drop_remainder=True, verbose=0
    )


def with_implicit(dataset, width):
    """The same with implicit's BPR on all cores."""
    import numpy as np
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from scipy.sparse import csr_matrix

    user, item = dataset.pairs["train"].T
    matrix = csr_matrix((np.ones(len(user), np.float32), (user, item)), (dataset.users, dataset.items))
    model = BayesianPersonalizedRanking(factors=width - 1, iterations=1, random_state=SEED)  # and a bias
    return lambda: model.fit(matrix, show_progress=False)


def with_tfrs(dataset, width):
    """The same with a TFRS model of two tables."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs
    import tf_keras

    class TwoTables(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.users = tf_keras.layers.Embedding(dataset.users, width)
            self.items = tf_keras.layers.Embedding(dataset.items, width)
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, features, training=False):
            return self.task(self.users(features["user"]), self.items(features["item"]), compute_metrics=False)

    model = TwoTables()
    model.compile(tf_keras.optimizers.Adam(1e-3))
    user, item = dataset.pairs["train"].T
    batches = tf.data.Dataset.from_tensor_slices({"user": user, "item": item}).shuffle(len(user), seed=SEED)
    batches = batches.batch(BATCH, drop_remainder=True).prefetch(4)
    return lambda: model.fit(batches, epochs=1, verbose=0)


if __name__ == "__main__":
    main()
