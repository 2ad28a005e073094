"""What every loss keeps to. A new one needs a line in SAMPLES."""

import doctest
import importlib
import inspect
import itertools
import json
import pkgutil
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
import tfdistill.losses as losses
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.schedules import ConfidenceTemperature, CurriculumTemperature

ROWS = 6
LABELS = np.array([3, 0, 2, 1, 1, 0])


def of_logits(width):
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(width, "tanh", name="hidden"), keras.layers.Dense(4, name="scores")]
    )


def of_images(width):
    layers = [keras.layers.Conv2D(width, 3, name="hidden"), keras.layers.Flatten(), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((5, 5, 1)), *layers])


def of_attention(width):
    inputs = keras.Input((3, 4))
    queries, keys = keras.layers.Dense(width)(inputs), keras.layers.Dense(width)(inputs)
    scores = keras.layers.Reshape((1, 3, 3))(keras.layers.Dot(axes=2)([queries, keys]))
    maps = keras.layers.Softmax(name="hidden")(scores)
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(maps)))


@dataclass
class Kind:
    """What a loss compares: shapes without the batch, the same with time steps, and models in which to find it."""

    teacher: tuple
    student: tuple
    teacher_steps: tuple
    student_steps: tuple
    model: callable
    step_axis: int = 1
    activation: callable = field(default=lambda values: values)


LOGITS = Kind((4,), (4,), (3, 4), (3, 4), of_logits)
FEATURES = Kind((5,), (3,), (3, 5), (3, 3), of_logits)
MAPS = Kind((3, 3, 4), (3, 3, 2), (3, 4), (3, 2), of_images)
ATTENTION = Kind((2, 3, 4), (2, 3, 4), (2, 3, 4), (2, 3, 4), of_attention, step_axis=2, activation=tf.nn.softmax)

HIDDEN = ("hidden", "hidden")
# {class: (what it compares, constructions)}; in distillers the first is tried.
SAMPLES = {
    "AnnealingDistillation": (LOGITS, [lambda: losses.AnnealingDistillation(0.5)]),
    "AttentionMapTransfer": (
        ATTENTION,
        [
            lambda: losses.AttentionMapTransfer("mse", *HIDDEN),
            lambda: losses.AttentionMapTransfer("kl_divergence", *HIDDEN),
        ],
    ),
    "AttentionTransfer": (MAPS, [lambda: losses.AttentionTransfer(*HIDDEN)]),
    "BlendedDistillation": (
        LOGITS,
        [
            lambda: losses.BlendedDistillation(0.3, 2.0),
            lambda: losses.BlendedDistillation(0.3, 2.0, l2_on="logits", task="binary"),
        ],
    ),
    "ContrastiveDistillation": (FEATURES, [lambda: losses.ContrastiveDistillation(*HIDDEN, dimension=4)]),
    "CorrelationDistillation": (
        LOGITS,
        [lambda: losses.CorrelationDistillation(2.0), lambda: losses.CorrelationDistillation(task="binary")],
    ),
    "DecoupledDistillation": (LOGITS, [lambda: losses.DecoupledDistillation(2.0)]),
    "FeatureDistillation": (
        FEATURES,
        [
            lambda: losses.FeatureDistillation("mse", *HIDDEN, projector="dense"),
            lambda: losses.FeatureDistillation("cosine_similarity", *HIDDEN, projector="auto"),
        ],
    ),
    "HintDistillation": (FEATURES, [lambda: losses.HintDistillation(*HIDDEN)]),
    "LogitsDistillation": (
        LOGITS,
        [
            lambda: losses.LogitsDistillation(2.0),
            lambda: losses.LogitsDistillation(2.0, "mse"),
            lambda: losses.LogitsDistillation(2.0, "binary_crossentropy"),
        ],
    ),
    "MultiLevelDistillation": (LOGITS, [lambda: losses.MultiLevelDistillation(1.0, other_temperatures=(2.0,))]),
    "RelationalDistillation": (FEATURES, [lambda: losses.RelationalDistillation(*HIDDEN)]),
    "SimilarityPreserving": (FEATURES, [lambda: losses.SimilarityPreserving(*HIDDEN)]),
    "StandardizedLogits": (
        LOGITS,
        [
            lambda: losses.StandardizedLogits(),
            lambda: losses.StandardizedLogits(losses.DecoupledDistillation()),
        ],
    ),
}
BASES = (
    "DistillationLoss",
    "ExpertLoss",
    "FunctionLoss",
    "OutputLoss",
    "RankingLoss",
    "RepresentationLoss",
    "ResponseLoss",
)
# Those for retrieval models, of scores and of vectors, have a contract of their own: test_retrieval_contract.py.
OF_RETRIEVAL = (losses.RankingLoss, losses.RepresentationLoss)
CLASSES = [
    name
    for name in losses.__all__
    if inspect.isclass(getattr(losses, name))
    and name not in BASES
    and hasattr(getattr(losses, name), "compute_loss")
    and not issubclass(getattr(losses, name), OF_RETRIEVAL)
]
MODULES = [module.name for module in pkgutil.iter_modules(losses.__path__)]


def sample(name, construction=0):
    """(what a loss compares, the loss)."""
    if name not in SAMPLES:
        pytest.fail(f"tfdistill.losses.{name} has no line in SAMPLES of this test: add one.")
    kind, constructions = SAMPLES[name]
    return kind, constructions[construction]()


every = pytest.mark.parametrize("name", CLASSES)
every_construction = pytest.mark.parametrize(
    "name, construction", [(name, i) for name in CLASSES for i in range(len(SAMPLES.get(name, (None, [None]))[1]))]
)


def values(shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (ROWS, *shape)).astype("float32")


def built(loss, teacher, student):
    if not loss.built:
        keras.utils.set_random_seed(0)
        loss.build((None, *teacher.shape[1:]), (None, *student.shape[1:]))
    return loss


def value_and_gradients(kind, loss, teacher, student, dtype="float32", mask=None, **arguments):
    """(value, gradient to the student, to the teacher, to the loss's own weights)."""
    arguments = {"labels": LABELS[: teacher.shape[0]], **arguments}
    teacher, student = (tf.convert_to_tensor(one, "float32") for one in (teacher, student))
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        outputs = [tf.cast(kind.activation(one), dtype) for one in (teacher, student)]
        for output in outputs if mask is not None else []:
            output._keras_mask = mask
        value = loss.compute_loss(*outputs, **arguments)
    return value, *tape.gradient(value, [student, teacher, loss.trainable_variables])


def close(one, other, rtol=1e-4, atol=1e-5):
    for this, that in zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True):
        np.testing.assert_allclose(this, that, rtol=rtol, atol=atol)


@pytest.mark.parametrize("module", MODULES)
def test_every_loss_is_exported_and_every_example_gives_what_it_says(module):
    module = importlib.import_module(f"tfdistill.losses.{module}")
    for name, member in vars(module).items():
        is_loss = inspect.isclass(member) and issubclass(member, losses.DistillationLoss)
        if is_loss and member.__module__ == module.__name__ and name not in BASES:
            assert name in losses.__all__
    failures, _ = doctest.testmod(module)
    assert failures == 0


@every
def test_the_docstring_has_a_source_and_an_example(name):
    documentation = inspect.getdoc(getattr(losses, name))
    assert ">>> " in documentation
    assert "Reference: " in documentation


@every_construction
def test_the_configuration_round_trips_and_makes_the_same_loss(name, construction):
    kind, loss = sample(name, construction)
    config = keras.saving.serialize_keras_object(loss)
    json.dumps(config)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(loss)
    assert keras.saving.serialize_keras_object(copy) == config
    teacher, student = values(kind.teacher), values(kind.student, 1)
    built(copy, teacher, student).set_weights(built(loss, teacher, student).get_weights())
    close(value_and_gradients(kind, copy, teacher, student)[0], value_and_gradients(kind, loss, teacher, student)[0])


@every_construction
def test_the_loss_is_a_float32_scalar_and_the_teacher_gets_no_gradient(name, construction):
    kind, loss = sample(name, construction)
    teacher, student = values(kind.teacher), values(kind.student, 1)
    value, to_student, to_teacher, to_weights = value_and_gradients(
        kind, built(loss, teacher, student), teacher, student
    )
    assert value.dtype == tf.float32
    assert value.shape == ()
    assert np.abs(to_student).max() > 0
    assert to_teacher is None
    assert all(np.abs(gradient).max() > 0 for gradient in to_weights if gradient.shape.rank > 1)


@every_construction
def test_extreme_and_constant_values_give_a_finite_loss_and_gradient(name, construction):
    kind, loss = sample(name, construction)

    def extremes(shape, seed):
        signs = 50.0 * np.sign(values(shape, seed))
        one_hot = np.full((ROWS, *shape), -50.0)
        one_hot[..., 0] = 50.0
        return [signs, one_hot, np.zeros((ROWS, *shape)), np.full((ROWS, *shape), 50.0)]

    for teacher, student in itertools.product(extremes(kind.teacher, 0), extremes(kind.student, 1)):
        value, to_student, _, to_weights = value_and_gradients(kind, built(loss, teacher, student), teacher, student)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in (to_student, *to_weights))


@every_construction
def test_eager_graph_and_xla_agree_and_the_batch_size_may_be_unknown(name, construction):
    kind, loss = sample(name, construction)
    teacher, student = values(kind.teacher), values(kind.student, 1)
    built(loss, teacher, student)

    def compute(teacher, student, weights, labels, step):
        arguments = {"sample_weight": weights, "labels": labels, "step": step}
        value, to_student, _, to_weights = value_and_gradients(kind, loss, teacher, student, **arguments)
        return value, to_student, to_weights

    signature = [
        tf.TensorSpec([None, *kind.teacher]),
        tf.TensorSpec([None, *kind.student]),
        tf.TensorSpec([None]),
        tf.TensorSpec([None], "int64"),
        tf.TensorSpec([], "int64"),
    ]
    graph = tf.function(compute, input_signature=signature, autograph=False)
    compiled = tf.function(compute, input_signature=signature, autograph=False, jit_compile=True)
    for rows in (ROWS, ROWS - 2):
        batch = teacher[:rows], student[:rows], np.linspace(0.5, 2, rows, dtype="float32"), LABELS[:rows], np.int64(3)
        expected = compute(*batch)
        batch = [tf.constant(one) for one in batch]
        close(graph(*batch), expected)
        if rows == ROWS and construction == 0:  # XLA takes a second for every shape and construction
            close(compiled(*batch), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_construction
def test_half_precision_outputs_are_compared_in_float32(name, construction, dtype):
    kind, loss = sample(name, construction)
    teacher, student = values(kind.teacher), values(kind.student, 1)
    built(loss, teacher, student)
    for factor in (1.0, 5000.0):  # where the square of a float16, and sums of them, are infinite
        given = factor * teacher, factor * student
        half, to_student, _, _ = value_and_gradients(kind, loss, *given, dtype)
        assert half.dtype == tf.float32
        assert np.isfinite(half) and np.isfinite(to_student).all()
        outputs = (tf.cast(tf.cast(kind.activation(one), dtype), "float32") for one in given)
        close(half, loss.compute_loss(*outputs, labels=LABELS), rtol=1e-5)


@every_construction
def test_a_row_of_weight_zero_is_as_good_as_absent(name, construction):
    kind, loss = sample(name, construction)
    teacher, student = values(kind.teacher), values(kind.student, 1)
    built(loss, teacher, student)
    kept = np.array([True, False, True, True, False, True])
    for one, garbage in ((teacher, -1e3), (student, 1e3)):
        one[~kept] = garbage * (1.0 + values(one.shape[1:], 2)[~kept])
    value, to_student, _, to_weights = value_and_gradients(
        kind, loss, teacher, student, sample_weight=tf.constant(kept, "float32")
    )
    expected, to_kept, _, to_weights_of_kept = value_and_gradients(
        kind, loss, teacher[kept], student[kept], labels=LABELS[kept]
    )
    share = kept.mean()  # the sum of the weights, divided by the number of rows as in all losses of Keras
    close(value, share * expected)
    close(to_student.numpy()[~kept], np.zeros_like(to_student.numpy()[~kept]), atol=0)
    close(to_student.numpy()[kept], share * to_kept)
    close(to_weights, [share * gradient for gradient in to_weights_of_kept])


@every_construction
def test_the_loss_is_proportional_to_the_weights(name, construction):
    kind, loss = sample(name, construction)
    teacher, student = values(kind.teacher), values(kind.student, 1)
    built(loss, teacher, student)
    plain = value_and_gradients(kind, loss, teacher, student)[0]
    for factor in (0.0, 1.0, 3.0):
        weights = tf.fill([ROWS], factor)
        close(value_and_gradients(kind, loss, teacher, student, sample_weight=weights)[0], factor * plain)


@every_construction
def test_masked_time_steps_have_no_influence(name, construction):
    kind, loss = sample(name, construction)
    teacher, student = values(kind.teacher_steps), values(kind.student_steps, 1)
    built(loss, teacher, student)
    mask = np.array([[True, True, False]] * 3 + [[True, False, True]] * 3)
    arguments = {"mask": tf.constant(mask), "labels": None}
    value, to_student, _, _ = value_and_gradients(kind, loss, teacher, student, **arguments)
    for one, garbage in ((teacher, 30.0), (student, -30.0)):
        np.moveaxis(one, kind.step_axis, 1)[~mask] += garbage * np.arange(1, 1 + one.shape[-1])
    with_garbage, to_student_with_garbage, _, _ = value_and_gradients(kind, loss, teacher, student, **arguments)
    close(with_garbage, value)
    close(np.moveaxis(to_student_with_garbage.numpy(), kind.step_axis, 1)[~mask], 0.0)
    close(to_student_with_garbage, to_student)


@every_construction
def test_the_losses_of_several_outputs_are_added_up(name, construction):
    kind, loss = sample(name, construction)
    teacher, student = (tf.constant(kind.activation(values(*one))) for one in ((kind.teacher,), (kind.student, 1)))
    if loss.needs_build:
        with pytest.raises(ValueError, match="one output"):
            loss.validate_outputs([teacher, teacher], [student, student])
        return
    value = loss.compute_loss({"a": teacher, "b": teacher}, {"a": student, "b": student}, labels=LABELS)
    close(value, 2 * loss.compute_loss(teacher, student, labels=LABELS))
    with pytest.raises(ValueError, match="same structure"):
        loss.compute_loss([teacher, teacher], student)


@every
def test_examples_that_differ_in_number_are_refused(name):
    kind, loss = sample(name)
    teacher, student = values(kind.teacher), values(kind.student, 1)
    built(loss, teacher, student)
    with pytest.raises(ValueError, match="teacher"):
        loss.compute_loss(kind.activation(teacher[:1]), kind.activation(student))


@pytest.mark.parametrize(
    "name",
    [name for name in CLASSES if "temperature" in inspect.signature(getattr(losses, name)).parameters]
    + ["StandardizedLogits"],
)
def test_temperatures_may_be_learned_or_by_example(name):
    if not issubclass(getattr(losses, name), ResponseLoss) and name != "StandardizedLogits":
        with pytest.raises(ValueError, match="`temperature`"):
            getattr(losses, name)(temperature=ConfidenceTemperature(2.0, 1.0))
        return
    teacher, student = values(LOGITS.teacher), values(LOGITS.student, 1)
    for temperature in (CurriculumTemperature(steps=10), ConfidenceTemperature(2.0, 1.0)):
        loss = losses.LogitsDistillation(temperature) if name == "StandardizedLogits" else None
        loss = losses.StandardizedLogits(loss) if loss else getattr(losses, name)(temperature=temperature)
        value, to_student, _, to_weights = value_and_gradients(LOGITS, loss, teacher, student, step=tf.constant(5))
        assert np.isfinite(value)
        assert np.isfinite(to_student).all()
        assert len(to_weights) == int(isinstance(temperature, CurriculumTemperature))
        assert all(np.isfinite(gradient) and abs(gradient) > 0 for gradient in to_weights)


def distillation(name, distiller_class, eagerly=False, **arguments):
    """(distiller, inputs, labels) of small functional models."""
    keras.utils.set_random_seed(1)
    kind, loss = sample(name)
    teacher, student = kind.model(8), kind.model(3)
    inputs = np.random.default_rng(3).normal(size=(16, *student.input_shape[1:])).astype("float32")
    distiller = distiller_class(teacher, student, loss, student_loss_weight=0.0, **arguments)
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(0.02), hard, run_eagerly=eagerly)
    return distiller, inputs, np.arange(16) % 4


# Nothing but the loss trains the student here, so what lies behind the layer that it reads gets no gradient.
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
@pytest.mark.parametrize(
    "distiller_class", [tfdistill.Distiller, keras.distillation.Distiller], ids=["tfdistill", "keras"]
)
@every
def test_in_a_distiller_the_student_learns_and_so_do_the_losss_own_weights(name, distiller_class):
    distiller, inputs, labels = distillation(name, distiller_class)
    (loss,) = distiller.distillation_losses
    models = [distiller.teacher, distiller.student, loss]
    before = [model.get_weights() for model in models]
    steps = tf.data.Dataset.from_tensors((inputs, labels)).repeat(20)
    history = distiller.fit(steps, epochs=2, shuffle=False, verbose=0).history["distillation_loss"]
    after = [model.get_weights() for model in models]
    assert history[-1] < history[0]
    of_teacher, of_student, of_loss = (
        [np.array_equal(one, other) for one, other in zip(*pair, strict=True)]
        for pair in zip(before, after, strict=True)
    )
    assert all(of_teacher)
    assert not all(of_student)
    assert not any(of_loss)
    assert bool(of_loss) == loss.needs_build
    ids = {id(variable) for variable in distiller.student.variables}
    assert not any(id(variable) in ids for variable in loss.variables)


# It is saved before its first step, when the optimizer has no state yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@every
def test_a_saved_distiller_gives_the_same_loss_again(name, tmp_path):
    distiller, inputs, labels = distillation(name, tfdistill.Distiller, eagerly=True, evaluate_distillation=True)
    expected = distiller.evaluate(inputs, labels, verbose=0, return_dict=True)["distillation_loss"]
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    loaded.teacher = distiller.teacher
    close(loaded.distillation_losses[0].get_weights(), distiller.distillation_losses[0].get_weights())
    close(loaded.evaluate(inputs, labels, verbose=0, return_dict=True)["distillation_loss"], expected)
