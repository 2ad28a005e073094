"""Run by test_several_devices.py in a process of its own: trains on one device and on two, and writes how far apart the
weights and logs are; then runs a recipe on two. TensorFlow's devices cannot be changed in a process that has used them,
so all that needs two is here."""

import json
import sys

import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras  # noqa: E402
import numpy as np  # noqa: E402

import tfdistill  # noqa: E402
import tfdistill.clustering.clustered_weight  # noqa: E402
from tfdistill import cli, losses, models, schedules  # noqa: E402
from tfdistill.clustering import cluster_weights  # noqa: E402
from tfdistill.data.implicit import ImplicitDataset  # noqa: E402
from tfdistill.distribution import distribute, fit_over_replicas, make_strategy  # noqa: E402
from tfdistill.evaluation import dot_scores  # noqa: E402
from tfdistill.precision import building_in, with_loss_scaling  # noqa: E402
from tfdistill.quantization import QuantizeScheme, quantize_model  # noqa: E402
from tfdistill.soft_targets import rank_items, vectors_fingerprint  # noqa: E402
from tfdistill.sparsity import PolynomialDecay, UpdatePruningStep, prune_low_magnitude  # noqa: E402

random = np.random.default_rng(0)
X = random.normal(size=(24, 6)).astype("float32")
Y = random.integers(0, 3, 24)
FEW = np.where(np.arange(24) % 8 < 5, Y, -1)  # of eight rows of a batch the first four and one more are labelled
USER, ITEM = (random.normal(size=(rows, 8)).astype("float32") for rows in (7, 9))
PAIRS = [[user, item] for user in range(7) for item in range(9) if (user * 5 + item * 3) % 4 == 0]
DATA = ImplicitDataset(7, 9, {"train": PAIRS, "validation": [], "test": [[0, 1]]})
TARGETS = random.normal(size=(24, 3)).astype("float32")
TWICE = np.tile(X[:4], (2, 1))  # each device sees the same extremes
tfdistill.clustering.clustered_weight.COMPILED_FROM = 1  # as with large weights


def farthest(fit):
    """The largest difference between what `fit` gives on one device and on two, of numbers above 1 relative to them."""
    found = []
    for name in ("one_device", "mirrored"):
        with make_strategy(name).scope():
            keras.utils.set_random_seed(1)
            found.append([np.asarray(array, "float64") for array in fit()])
    return max(float((np.abs(one - two) / np.maximum(np.abs(one), 1)).max()) for one, two in zip(*found, strict=True))


def dense():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu", name="hidden"), keras.layers.Dense(3)])


def click_through():
    """Rows without a label, losses that compare examples, a temperature that depends on the batch, a learned weight."""
    compared = [
        losses.LogitsDistillation(schedules.ConfidenceTemperature(4.0)),
        losses.RelationalDistillation("hidden", "hidden"),
        losses.CorrelationDistillation(),
    ]
    weights = [1.0, 0.02, schedules.UncertaintyWeight()]
    distiller = tfdistill.Distiller(dense(), dense(), compared, weights, 0.4, unlabeled_value=-1, teacher_interval=2)
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(0.02), hard, ["accuracy"], steps_per_execution=2)
    batches = distribute(tf.data.Dataset.from_tensor_slices((X, FEW)).batch(8, drop_remainder=True))
    logs = distiller.fit(batches, epochs=2, shuffle=False, verbose=0).history
    judged = distiller.evaluate(batches, verbose=0)
    return [*distiller.get_weights(), *(np.array(values) for _, values in sorted(logs.items())), np.array(judged)]


def retrieval(compared, **arguments):
    teacher = tfdistill.TeacherVectors(USER, ITEM)
    distiller = tfdistill.RetrievalDistiller(teacher, models.bpr_mf(7, 9, 4), compared, **arguments)
    distiller.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    rankings = rank_items(dot_scores(USER, ITEM), DATA, 4, fingerprint=vectors_fingerprint(USER, ITEM))
    # 16 pairs in batches of 6: the last has 4
    training = {"epochs": 2, "batch_size": 6, "negatives": 2, "rankings": rankings, "verbose": 0}
    logs = distiller.fit_retrieval(DATA, **training).history
    return [*distiller.get_weights(), *(np.array(values) for _, values in sorted(logs.items()))]


def transformed(transform, x, epochs, callbacks=()):
    """A small network whose weights are transformed, trained in batches of eight."""
    model = transform(keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "gelu"), keras.layers.Dense(3)]))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    targets = TARGETS[: len(x)]
    model.fit(x, targets, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


def pruned():
    schedule = PolynomialDecay(0.0, 0.75, 0, 6, frequency=2)
    weights = transformed(lambda model: prune_low_magnitude(model, schedule), X, 3, [UpdatePruningStep()])
    assert np.mean(weights[0] == 0) == 0.75
    return weights


def quantized(ranges):
    scheme = QuantizeScheme(ranges=ranges, delay_steps=1)
    return transformed(lambda model: quantize_model(model, scheme), TWICE, 4)


def overflow():
    """Gradients that overflow on the second device alone skip the step on both; the next one is made. Returns the weights."""
    large = np.concatenate([X[:4], 1e4 * X[4:8]])

    def network(precision):
        keras.utils.set_random_seed(3)
        with building_in(precision):
            logits = keras.layers.Dense(3, dtype="float32")
            return keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), logits])

    student, alone = network("mixed_float16"), network("mixed_float16")
    distiller = tfdistill.Distiller(network("float32"), student, losses.LogitsDistillation())
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.01), hard, jit_compile=False)
    alone.compile(with_loss_scaling(keras.optimizers.SGD(0.01), alone), hard, jit_compile=False)
    for model, trained in ((distiller, student), (fit_over_replicas(alone), alone)):
        before = trained.get_weights()
        for batch, steps in ((large, 0), (X[:8], 1)):
            model.fit(batch, Y[:8], batch_size=8, shuffle=False, verbose=0)
            optimizer = model.optimizer
            assert (float(optimizer.dynamic_scale.numpy()), int(optimizer.iterations.numpy())) == (2.0**14, steps)
            moved = [(new != old).any() for new, old in zip(trained.get_weights(), before, strict=True)]
            assert all(moved) if steps else not any(moved), moved
    return [*student.get_weights(), *alone.get_weights()]


CHECKS = {
    "distiller": click_through,
    "retrieval, sums": lambda: retrieval(
        [losses.FullTopologyDistillation(), losses.EmbeddingDistillation(), losses.RankingDistillation(best=3)], l2=0.01
    ),
    "retrieval, means": lambda: retrieval([], base_loss="in_batch_softmax", reduction="mean"),
    "pruning": pruned,
    "clustering": lambda: transformed(lambda model: cluster_weights(model, 4, "linear", preserve_sparsity=True), X, 3),
    "quantization, moving averages": lambda: quantized("ema"),
    "quantization, learned ranges": lambda: quantized("learned"),
    "loss scaling": overflow,
}

if __name__ == "__main__":
    recipe, output, told = sys.argv[1:]
    with open(told, "w") as file:
        json.dump({name: farthest(check) for name, check in CHECKS.items()}, file)
    sys.exit(cli.main(["run", recipe, "--output", output, "--set", "strategy=mirrored"]))
