"""The whole step of training, for everything in the package, as a TPU takes it: static shapes, and nothing for the host.

Steps are lowered to XLA's program and looked at, not run. REFUSED lists what no TPU takes, and why; docs/tpu.md says what to
do instead.
"""

import dataclasses
import inspect
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tests.losses import test_contract, test_retrieval_contract
from tests.models import small_models
from tfdistill import Distiller, RetrievalDistiller, TeacherVectors, losses, models, optimizers, schedules
from tfdistill._base_ranking_loss import KINDS as BASE_LOSSES
from tfdistill._retrieval_batches import RetrievalBatches
from tfdistill._retrieval_windows import windows_of
from tfdistill.clustering import cluster_weights
from tfdistill.distribution.tpu import refused_by_tpu
from tfdistill.optimizers import Adam
from tfdistill.precision import building_in
from tfdistill.quantization import quantize_model
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude
from tfdistill.teachers import CachedTeacher

ROWS = 4
USERS, ITEMS = small_models.USERS, small_models.ITEMS
FIELDS = small_models.USER_FIELDS + small_models.ITEM_FIELDS
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = keras.losses.BinaryCrossentropy(from_logits=True)
BINARY_LOGITS = losses.LogitsDistillation(2.0, task="binary")

RANKERS = {
    **small_models.RANKERS,
    "mlp": lambda: models.mlp(FIELDS, embedding_width=4, hidden_units=(8,)),
    "dcn_v2": lambda: models.dcn_v2(FIELDS, embedding_width=4, hidden_units=(8,)),
}
IMAGES = {"cnn": lambda: models.cnn((4, 4, 1), 4, blocks=({"filters": 2},), hidden_units=(4,), dropout=0.5)}
OF_RETRIEVAL = {**test_retrieval_contract.RANKING, **test_retrieval_contract.REPRESENTATION}
OTHER_FUNCTIONS = {
    "build",
    "frozen",
    "histories",
    "item_vectors",
    "retrieval_model",  # of towers of any kind
    "sequence_tower",
    "start_from_teacher",
    "tag_targets",
    "towers",
    "truncated_svd",
    "user_vectors",
}


def random_of(shape, dtype="float32", seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 4, shape).astype(dtype) if "int" in dtype else random.normal(size=shape).astype(dtype)


@pytest.fixture(scope="module")
def rankings():
    """Of all items for every user, and of all users for every item."""
    pairs = small_models.small_dataset().pairs["train"]
    scores = random_of((USERS, ITEMS))
    scores[pairs[:, 0], pairs[:, 1]] = -np.inf

    def best(scores):
        items = np.argsort(-scores, axis=1).astype("int32")
        return SimpleNamespace(items=items, scores=np.take_along_axis(scores, items, axis=1))

    return best(scores), best(scores.T)


def rankers_batch(model):
    given = small_models.random_inputs(ROWS)
    return {name: given[name] for name in model.input}, random_of((ROWS, model.output_shape[-1]), "int32") % 2


def distilled(teacher, student, loss, hard=HARD, optimizer=None, metrics=None, **arguments):
    distiller = Distiller(teacher, student, loss, **arguments)
    distiller.compile(optimizer or keras.optimizers.SGD(), hard, metrics)
    return distiller


def retrieval(student, loss=(), teacher="vectors", base_loss="bpr", rankings=(None, None), optimizer=None):
    """(distiller, one of the batches that `fit_retrieval` makes)."""
    dataset = dataclasses.replace(small_models.small_dataset(), is_ordered=True)
    if teacher == "vectors":
        teacher = TeacherVectors(random_of((USERS, 8)), random_of((ITEMS, 8)))
    distiller = RetrievalDistiller(teacher, student, loss, base_loss=base_loss)
    distiller.compile(optimizer or keras.optimizers.SGD())
    distiller.set_dataset(dataset)
    batches = RetrievalBatches(
        dataset,
        ROWS,
        2,
        losses=distiller.distillation_losses,
        **dict(zip(("rankings", "item_rankings"), rankings, strict=False)),
        student_scores=lambda users: random_of((USERS, ITEMS))[users],
        drop_remainder=True,
        windows=windows_of(student, dataset) if student.name == "sas_rec" else None,
    )
    batch = batches[0]
    if student.name == "two_tower":
        batch["user"] = {"user": batch["user"], "history": small_models.random_inputs(ROWS)["history"]}
    return distiller, batch


@test_contract.every
def test_every_loss_between_outputs_compiles(name):
    kind, loss = test_contract.sample(name)
    teacher, student = (kind.model(width) for width in (kind.teacher[-1], kind.student[-1]))
    distiller = distilled(teacher, student, loss)
    batch = random_of((ROWS, *student.input_shape[1:])), random_of(ROWS, "int64")
    assert refused_by_tpu(distiller.train_step, batch) is None


@pytest.mark.parametrize("name", sorted(OF_RETRIEVAL))
def test_every_loss_of_retrieval_compiles(name, rankings):
    make = OF_RETRIEVAL[name][-1 if name == "HierarchicalTopologyDistillation" else 0]  # with DE's experts, but few
    distiller, batch = retrieval(models.bpr_mf(USERS, ITEMS, 3), make(), rankings=rankings)
    assert refused_by_tpu(distiller.train_step, batch) is None


def test_every_model_has_a_sample_here():
    builders = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))} - OTHER_FUNCTIONS
    assert builders <= {*small_models.RETRIEVAL, *RANKERS, *IMAGES}


@pytest.mark.parametrize("kind", sorted({*small_models.RETRIEVAL} & {*models.__all__}))
def test_every_retrieval_model_compiles(kind):
    student = small_models.RETRIEVAL[kind]()
    teacher = small_models.RETRIEVAL[kind]() if kind == "sas_rec" else "vectors"
    optimizer = Adam() if kind == "bpr_mf" else None
    distiller, batch = retrieval(student, losses.FullTopologyDistillation(), teacher, optimizer=optimizer)
    assert refused_by_tpu(distiller.train_step, batch) is None


@pytest.mark.parametrize("kind", sorted(RANKERS))
def test_every_ranker_compiles(kind):
    teacher, student = RANKERS[kind](), RANKERS[kind]()
    optimizer = Adam() if kind == "mlp" else None
    distiller = distilled(teacher, student, BINARY_LOGITS, BINARY, optimizer, ["accuracy"])
    assert refused_by_tpu(distiller.train_step, rankers_batch(student)) is None


@pytest.mark.parametrize("kind", sorted(IMAGES))
def test_every_model_of_images_compiles(kind):
    teacher, student = IMAGES[kind](), IMAGES[kind]()
    distiller = distilled(teacher, student, losses.LogitsDistillation(2.0), metrics=["accuracy"])
    batch = {"image": random_of((ROWS, 4, 4, 1))}, random_of(ROWS, "int64")
    assert refused_by_tpu(distiller.train_step, batch) is None


@pytest.mark.parametrize("base_loss", sorted(set(BASE_LOSSES) - {"bpr"}))
def test_every_base_loss_compiles(base_loss):
    distiller, batch = retrieval(models.bpr_mf(USERS, ITEMS, 3), base_loss=base_loss)
    assert refused_by_tpu(distiller.train_step, batch) is None


def pruned(model):
    return prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))


def clustered(model):
    return cluster_weights(model, number_of_clusters=4)


@pytest.mark.parametrize("transform", [pruned, clustered, lambda model: quantize_model(clustered(pruned(model)))])
def test_weight_transforms_compile(transform):
    teacher = RANKERS["mlp"]()
    distiller = distilled(teacher, transform(RANKERS["mlp"]()), BINARY_LOGITS, BINARY)
    assert refused_by_tpu(distiller.train_step, rankers_batch(teacher)) is None


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("name", optimizers.__all__)
def test_every_optimizer_of_tables_compiles(name, lazy):
    table = keras.layers.Embedding(20, 3)
    table.build()
    ids = random_of(ROWS, "int32")
    if name == "LossScaleOptimizer":
        optimizer = optimizers.LossScaleOptimizer(Adam(lazy=lazy))
    else:
        optimizer = getattr(optimizers, name)(0.1, lazy=lazy, clipnorm=1.0)
    optimizer.build(table.trainable_variables)

    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(ids) ** 2)
        optimizer.apply(tape.gradient(loss, table.trainable_variables), table.trainable_variables)

    assert refused_by_tpu(step, ids) is None


@pytest.mark.parametrize("precision", ["mixed_bfloat16"])
def test_mixed_precision_compiles(precision):
    with building_in(precision):
        rankers, tables = [RANKERS["mlp"]() for _ in "ts"], models.bpr_mf(USERS, ITEMS, 3)
    distiller = distilled(*rankers, BINARY_LOGITS, BINARY)
    assert refused_by_tpu(distiller.train_step, rankers_batch(rankers[1])) is None
    distiller, batch = retrieval(tables, losses.FullTopologyDistillation())
    assert refused_by_tpu(distiller.train_step, batch) is None


def dense():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])


def with_layer(layer):
    inputs = keras.Input((1,), dtype="int64")
    outputs = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Embedding(9, 3)(layer(inputs))))
    return distilled(lambda _: tf.zeros([ROWS, 4]), keras.Model(inputs, outputs), losses.LogitsDistillation())


def of_numpy(inputs):
    return tf.ensure_shape(tf.numpy_function(lambda rows: rows[:, :4], [inputs], tf.float32), [ROWS, 4])


def stock_adagrad():
    inputs = keras.Input((1,), dtype="int64")
    outputs = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Embedding(9, 3)(inputs)))
    optimizer = keras.optimizers.Adagrad()
    return distilled(
        lambda _: tf.zeros([ROWS, 4]), keras.Model(inputs, outputs), losses.LogitsDistillation(), optimizer=optimizer
    )


def labels_of_some(**arguments):
    return distilled(dense(), dense(), losses.LogitsDistillation(), unlabeled_value=-1, **arguments)


DENSE, IDS = random_of((ROWS, 6)), random_of((ROWS, 1), "int64")
# {what no TPU takes: (a distiller with it, its inputs, why)}
REFUSED = {
    "layers that look ids up": (
        lambda: with_layer(keras.layers.IntegerLookup(vocabulary=[1, 2])),
        IDS,
        "XLA has no resource but variables, no lookup tables",
    ),
    "layers that hash": (lambda: with_layer(keras.layers.Hashing(4)), IDS, "XLA has no AsString"),
    "teachers that leave TensorFlow": (
        lambda: distilled(of_numpy, dense(), losses.LogitsDistillation()),
        DENSE,
        "XLA has no PyFunc",
    ),
    "Adagrad, RMSprop, Adadelta and Adafactor of Keras on tables": (
        stock_adagrad,
        IDS,
        "the shape of GatherV2 depends on values: [<=9]",
    ),
    "metrics of the labelled rows alone": (
        lambda: labels_of_some(metrics=["accuracy"]),
        DENSE,
        f"the shape of Where depends on values: [<={ROWS},1]",
    ),
}
TAKEN = {
    "rows without labels, without metrics": labels_of_some,
    "a teacher asked every other step": lambda: distilled(
        dense(), dense(), losses.LogitsDistillation(), teacher_interval=2
    ),
    "adaptive temperatures and weights": lambda: distilled(
        dense(),
        dense(),
        [losses.LogitsDistillation(schedules.ConfidenceTemperature(4.0)), losses.DecoupledDistillation()],
        distillation_loss_weights=[schedules.UncertaintyWeight(), schedules.FadingWeight(3)],
        metrics=["accuracy"],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_tpu_takes_is_known_and_why(what):
    make, inputs, why = REFUSED[what]
    assert refused_by_tpu(make().train_step, (inputs, random_of(ROWS, "int64"))) == why


@pytest.mark.parametrize("what", TAKEN)
def test_other_ways_to_train_compile(what):
    assert refused_by_tpu(TAKEN[what]().train_step, (DENSE, random_of(ROWS, "int64"))) is None


def test_cached_soft_targets_compile():
    inputs = {"x": keras.Input((6,), name="x")}
    student = keras.Model(inputs, keras.layers.Dense(4)(inputs["x"]))
    distiller = distilled(CachedTeacher(), student, losses.LogitsDistillation())
    batch = {"x": DENSE, "teacher_logits": random_of((ROWS, 4))}, random_of(ROWS, "int64")
    assert refused_by_tpu(distiller.train_step, batch) is None


def test_what_is_refused_is_listed_in_the_guide():
    guide = (Path(tfdistill.__file__).parent.parent / "docs" / "tpu.md").read_text()
    assert all(f"| {what} |" in guide for what in REFUSED)
