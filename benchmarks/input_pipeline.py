"""Whether steps wait for their batches: the input pipeline alone, steps alone on one batch, and both together.

    python benchmarks/input_pipeline.py            as recipes run by default
    python benchmarks/input_pipeline.py --xla      every step compiled with XLA
    python benchmarks/input_pipeline.py --steps-per-execution 1

Milliseconds a step, the three by turns, an epoch each, drawing it included; medians, and the median of the ratios of paired
rounds of both together to steps alone, with the lowest and the highest. 1.00: the pipeline hides behind the steps. On two
cores it shares them with the steps, so the sum of both is the most that can be expected of what keeps both cores busy.

Batches: click-through rows of the embedded data set, 7 features gathered in the pipeline (an MLP, 2048 rows); the same with
cached soft targets looked up by id; pairs with negatives drawn anew (matrix factorization, 1024 pairs), plain and with the
candidates of RRD; windows of histories (SASRec, 128 users).
"""

import argparse
import statistics
import tempfile
import types

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

ROUNDS, SEED = 7, 1
USERS, ITEMS, PAIRS = 6000, 4000, 400_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"epochs of each, default {ROUNDS}")
    parser.add_argument("--xla", action="store_true", help="compile every step with XLA")
    parser.add_argument("--steps-per-execution", type=int, default=16, help="steps in one call, default 16")
    parser.add_argument("--only", help="the cases whose name has this in it")
    arguments = parser.parse_args()
    import_quietly()
    how = types.SimpleNamespace(xla=arguments.xla or "auto", steps_per_execution=arguments.steps_per_execution)
    print(
        describe_run(
            f"XLA {how.xla}, {how.steps_per_execution} steps a call, {arguments.rounds} rounds, seed {SEED}, wall time"
        )
    )
    for name, make in CASES.items():
        if arguments.only and arguments.only not in name:
            continue
        steps, jobs = make(how)
        seconds = timed(jobs, arguments.rounds)
        print(f"\n{name}: {steps} steps an epoch")
        for job, times in seconds.items():
            print(f"  {job:20} {1000 * statistics.median(times) / steps:8.3f} ms a step")
        compare("  together / steps alone", seconds["together"], seconds["steps alone"])


def jobs_of(model, batches, steps):
    """(steps, the three jobs) of a compiled model.

    Args:
        batches: () -> a `tf.data.Dataset` of an epoch's batches.
        steps: how many there are.
    """
    import tensorflow as tf

    one = batches().take(1).cache().repeat(steps).apply(tf.data.experimental.assert_cardinality(steps))

    def pipeline():
        for _ in batches():
            pass

    def epoch_of(dataset):
        return lambda: model.fit(dataset(), shuffle=False, verbose=0)

    return steps, {
        "pipeline alone": pipeline,
        "steps alone": epoch_of(lambda: one),
        "together": epoch_of(batches),
    }


def click_through(how):
    """Rows of an epoch in a new order, features gathered by row, as `tfdistill.training.train` makes them."""
    dataset, student = clicks()
    rows = dataset.rows("train")
    model, columns = compiled(student, how), (dataset.pairs(rows), dataset.label[rows])
    return jobs_of(model, lambda: shuffled(columns, dataset), len(rows) // 2048)


def cached_soft_targets(how):
    """The same under a `Distiller`, soft targets looked up by id in a cache on disk."""
    import numpy as np

    from tfdistill import Distiller
    from tfdistill.losses import LogitsDistillation
    from tfdistill.soft_targets import SoftTargets, write_soft_targets
    from tfdistill.teachers import CachedTeacher

    dataset, student = clicks()
    rows = dataset.rows("train")
    ids = dataset.example_id[rows]
    logits = np.random.default_rng(SEED).normal(size=(len(rows), 1)).astype("float32")
    folder = tempfile.mkdtemp()
    write_soft_targets(
        folder + "/cache", lambda batch: batch["logits"], lambda part: {"logits": logits[part]}, ids, fingerprint="none"
    )
    cache = SoftTargets.open(folder + "/cache")
    columns = ({**dataset.pairs(rows), "example_id": ids}, dataset.label[rows])
    model = compiled(Distiller(CachedTeacher(), student, LogitsDistillation(task="binary")), how)

    batches = cache.attach(shuffled(columns, dataset), id_key="example_id", check_inputs=False)
    return jobs_of(model, lambda: batches, len(rows) // 2048)


def pairs_with_negatives(how):
    """Pairs in a new order with negatives drawn anew, as `fit_retrieval` makes them."""
    return retrieval(how, 1024)


def pairs_with_candidates(how):
    """The same with 80 candidates of every user."""
    import numpy as np

    from tfdistill.losses import RelaxedRankingDistillation

    # Items that no user has chosen stand for the teacher's best.
    items = np.tile(np.arange(ITEMS, ITEMS + 200, dtype="int32"), (USERS, 1))
    rankings = types.SimpleNamespace(items=items, scores=np.zeros(items.shape, "float32"))
    return retrieval(how, 1024, RelaxedRankingDistillation(pool=200), rankings)


def windows(how):
    """Windows of histories with a negative at every place."""
    return retrieval(how, 128, sequences=True)


def retrieval(how, batch_size, loss=(), rankings=None, sequences=False):
    import numpy as np

    from tfdistill import RetrievalDistiller
    from tfdistill._retrieval_batches import RetrievalBatches
    from tfdistill._retrieval_dataset import DatasetBatches
    from tfdistill._retrieval_windows import windows_of
    from tfdistill.data import ImplicitDataset
    from tfdistill.models import bpr_mf, sas_rec
    from tfdistill.optimizers import Adam

    pairs = PAIRS // 2 if sequences else PAIRS
    numbers = np.random.default_rng(SEED).choice(USERS * ITEMS, pairs, replace=False)
    parts = {"train": np.stack(np.divmod(numbers, ITEMS), axis=1), "validation": [], "test": []}
    dataset = ImplicitDataset(USERS, ITEMS + 200, parts, is_ordered=True)
    student = (
        sas_rec(dataset.items, 50, 8, blocks=1, heads=1) if sequences else bpr_mf(dataset.users, dataset.items, 20)
    )
    distiller = RetrievalDistiller(None, student, loss, 1e-3)
    distiller.set_dataset(dataset)
    xla = not sequences if how.xla == "auto" else how.xla
    distiller.compile(Adam(1e-3), steps_per_execution=how.steps_per_execution, jit_compile=xla)
    made = RetrievalBatches(
        dataset, batch_size, 1, losses=distiller.distillation_losses, rankings=rankings, epochs=100, drop_remainder=True,
        windows=windows_of(student, dataset),
    )  # fmt: skip
    of_epochs = DatasetBatches(made, are_alike=True)

    def batches():
        made.on_epoch_begin()
        return of_epochs.dataset

    return jobs_of(distiller, batches, len(made))


def clicks():
    """The embedded data set, encoded, and an MLP for it."""
    from tfdistill import data
    from tfdistill.models import mlp

    interactions = data.synthetic(seed=SEED)
    dataset = data.encode(interactions, data.split(interactions, seed=SEED))
    return dataset, mlp(dataset.fields, embedding_width=6, hidden_units=(64, 32))


def compiled(model, how):
    import keras

    from tfdistill.optimizers import Adam

    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(Adam(1e-3), loss, steps_per_execution=how.steps_per_execution, jit_compile=how.xla)
    return model


def shuffled(columns, dataset):
    from tfdistill.data import pair_expander, train_batches

    return train_batches(columns, 2048, SEED, 0, transform=pair_expander(dataset))


CASES = {
    "click-through rows": click_through,
    "cached soft targets by id": cached_soft_targets,
    "pairs with negatives": pairs_with_negatives,
    "pairs with candidates": pairs_with_candidates,
    "windows of histories": windows,
}

if __name__ == "__main__":
    main()
