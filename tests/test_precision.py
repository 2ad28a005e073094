"""Mixed precision: what is rebuilt, and how losses are scaled where gradients overflow."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests.models.small_models import MODELS, RETRIEVAL, inputs_of, shuffled, small_dataset
from tfdistill import Distiller, RetrievalDistiller, losses, optimizers, precision
from tfdistill.clustering import cluster_weights
from tfdistill.data import Field
from tfdistill.errors import UserError
from tfdistill.evaluation import open_artifact
from tfdistill.export import describe, export_retrieval, export_tflite
from tfdistill.models import cnn, dcn_v2, item_vectors, mlp, towers
from tfdistill.precision import MIXED, building_in, in_precision, policy_of
from tfdistill.quantization import quantize_model
from tfdistill.schedules import UncertaintyWeight
from tfdistill.soft_targets import teacher_fingerprint, write_soft_targets
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude
from tfdistill.teachers import load_teacher

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(24, 4)).astype("float32"), RANDOM.integers(0, 3, 24)
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TOO_LARGE = 2.0**40  # a scale at which every float16 gradient overflows


def classifier(dtype="mixed_float16", width=8):
    keras.utils.set_random_seed(3)
    with building_in(dtype):
        layers = [keras.layers.Dense(width, "relu", name="hidden"), keras.layers.Dense(3, dtype="float32")]
        return keras.Sequential([keras.Input((4,)), *layers])


def with_scale(optimizer, **settings):
    return keras.optimizers.LossScaleOptimizer(optimizer, **settings)


def test_every_example_gives_what_it_says():
    assert doctest.testmod(precision).failed == 0


def eight_steps(model, jit_compile=False):
    """Compiles a model, or a distiller, and returns (scales, weights after every step, state of the optimizer)."""
    adam = keras.optimizers.Adam(0.01, clipnorm=0.1)
    model.compile(with_scale(adam, initial_scale=2.0**20, dynamic_growth_steps=2), HARD, jit_compile=jit_compile)
    scales, weights = [2.0**20], [model.get_weights()[:4]]
    for _ in range(8):
        model.train_on_batch(X, Y)
        scales.append(float(model.optimizer.dynamic_scale))
        weights.append(model.get_weights()[:4])
    return scales, weights, [variable.numpy() for variable in model.optimizer.variables]


@pytest.fixture(scope="module")
def of_keras():
    return eight_steps(classifier())


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_a_distiller_scales_skips_grows_and_shrinks_as_keras_does_in_fit(jit_compile, of_keras):
    model = Distiller(classifier("float32"), classifier(), losses.LogitsDistillation(), student_loss_weight=1.0)
    scales, weights, state = eight_steps(model, jit_compile)
    ratios = np.divide(scales[1:], scales[:-1])
    assert ratios[0] == 0.5 and set(ratios) == {0.5, 1.0, 2.0}
    for ratio, before, after in zip(ratios, weights[:-1], weights[1:], strict=True):
        assert all((old == new).all() == (ratio == 0.5) for old, new in zip(before, after, strict=True))
    assert int(model.optimizer.iterations) == np.count_nonzero(ratios > 0.5)
    assert scales == of_keras[0]
    for own, keras_own in ((weights[-1], of_keras[1][-1]), (state, of_keras[2])):
        for one, other in zip(own, keras_own, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3 if jit_compile else 1e-6, atol=1e-6)


def looking_up(dtype, width):
    """A classifier of 30 ids."""
    keras.utils.set_random_seed(3)
    with building_in(dtype):
        layers = [keras.layers.Embedding(30, width), keras.layers.Dense(3, dtype="float32")]
        return keras.Sequential([keras.Input((), dtype="int32"), *layers])


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_rows_of_a_distilled_table_are_scaled_and_skipped_and_those_of_no_batch_rest(jit_compile):
    ids, found = np.array([1, 4, 1, 7]), []
    for scale in (1.0, 2.0**8):
        student = looking_up("mixed_float16", 4)
        distiller = Distiller(looking_up("float32", 8), student, losses.LogitsDistillation(), student_loss_weight=0.5)
        adam = optimizers.Adam(0.01)
        scaling = optimizers.LossScaleOptimizer(adam, initial_scale=TOO_LARGE, dynamic_growth_steps=100)
        distiller.compile(scaling, HARD, jit_compile=jit_compile)
        before = student.get_weights()
        distiller.train_on_batch(ids, Y[:4])  # overflows
        assert all((new == old).all() for new, old in zip(student.get_weights(), before, strict=True))
        assert (float(scaling.dynamic_scale), int(adam.iterations)) == (TOO_LARGE / 2, 0)
        scaling.dynamic_scale.assign(scale)
        for _ in range(2):
            distiller.train_on_batch(ids, Y[:4])
        table = student.get_weights()[0]
        moved = (table != before[0]).any(axis=1)
        assert moved.nonzero()[0].tolist() == [1, 4, 7]
        found.append(table)
    np.testing.assert_allclose(*found, atol=1e-4)


def test_a_loop_of_ones_own_scales_by_the_scale_of_the_step():
    found = []
    for scale in (None, 2.0**4):
        student = classifier()
        distiller = Distiller(classifier("float32", 16), student, losses.LogitsDistillation())
        sgd = keras.optimizers.SGD(0.1)
        optimizer = sgd if scale is None else with_scale(sgd, initial_scale=scale, dynamic_growth_steps=1)
        distiller.compile(optimizer, HARD, auto_scale_loss=False)
        step = tf.function(distiller.train_step, autograph=False)
        for _ in range(3):
            step((tf.constant(X), tf.constant(Y)))
        found.append(student.get_weights())
    assert float(optimizer.dynamic_scale) == 2.0**7
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_gradients_are_clipped_after_they_are_unscaled():
    students = [classifier(), classifier()]
    for student, scale in zip(students, (1.0, 2.0**12), strict=True):
        distiller = Distiller(classifier("float32", 16), student, losses.LogitsDistillation())
        sgd = keras.optimizers.SGD(1.0, global_clipnorm=0.01)
        distiller.compile(with_scale(sgd, initial_scale=scale), HARD, run_eagerly=True)
        before = student.get_weights()
        distiller.train_on_batch(X, Y)
        moved = [new - old for new, old in zip(student.get_weights(), before, strict=True)]
        assert np.sqrt(sum(np.square(one).sum() for one in moved)) == pytest.approx(0.01, rel=1e-3)
    for one, other in zip(*(student.get_weights() for student in students), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_weights_of_losses_and_of_schedules_are_skipped_and_trained_with_the_students():
    steps = {}
    for scale in (1.0, 2.0**10, TOO_LARGE):
        student = classifier()
        hint, weight = losses.HintDistillation("hidden", "hidden"), UncertaintyWeight()
        distiller = Distiller(classifier("float32", 16), student, [hint, losses.LogitsDistillation()], [weight, 1.0])
        distiller.compile(with_scale(keras.optimizers.SGD(0.1), initial_scale=scale), HARD, run_eagerly=True)
        before = [variable.numpy() for variable in distiller.trainable_variables]
        assert len(before) > len(student.trainable_variables) + 1
        distiller.train_on_batch(X, Y)
        steps[scale] = [new.numpy() - old for new, old in zip(distiller.trainable_variables, before, strict=True)]
    assert all(np.abs(step).max() == 0 for step in steps[TOO_LARGE])
    for one, other in zip(steps[1.0], steps[2.0**10], strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(one, other, atol=2e-3 * np.abs(one).max())


@pytest.mark.parametrize("make", [quantize_model, "prune", "cluster"], ids=["quantized", "pruned", "clustered"])
def test_students_with_weight_transforms_are_scaled_too(make):
    student = classifier()
    if make == "prune":
        student = prune_low_magnitude(student, ConstantSparsity(0.5, 0, frequency=1))
    elif make == "cluster":
        student = cluster_weights(student, 4, "linear")
    else:
        student = quantize_model(student)
    distiller = Distiller(classifier("float32", 16), student, losses.LogitsDistillation())
    distiller.compile(keras.optimizers.SGD(0.1), HARD, run_eagerly=True)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    distiller.train_on_batch(X, Y)
    assert int(distiller.optimizer.iterations) == 1
    distiller.optimizer.dynamic_scale.assign(TOO_LARGE)
    before = [variable.numpy() for variable in distiller.trainable_variables]
    distiller.train_on_batch(X, Y)
    assert int(distiller.optimizer.iterations) == 1
    assert all(np.isfinite(variable).all() for variable in distiller.variables)
    for old, new in zip(before, distiller.trainable_variables, strict=True):
        kept = new.numpy() != 0 if make == "prune" else np.ones(old.shape, bool)  # a mask clears weights as it is made
        np.testing.assert_array_equal(old[kept], new.numpy()[kept])


def test_a_loaded_students_loss_is_scaled_although_keras_forgets_its_policy(tmp_path):
    classifier().save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    assert policy_of(loaded).name == "mixed_float16"
    distiller = Distiller(classifier("float32"), loaded, losses.LogitsDistillation())
    distiller.compile("sgd", HARD)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)


def test_a_saved_distiller_goes_on_with_its_scale(tmp_path):
    distiller = Distiller(classifier("float32"), classifier(), losses.LogitsDistillation())
    distiller.compile(with_scale(keras.optimizers.Adam(), initial_scale=TOO_LARGE), HARD, run_eagerly=True)
    distiller.fit(X, Y, batch_size=8, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.dtype_policy.name == "mixed_float16"
    assert float(loaded.optimizer.dynamic_scale) == TOO_LARGE / 8


def test_a_retrieval_distiller_skips_steps_grows_and_shrinks_its_scale():
    batch = {
        "user": np.array([0, 2, 0, 3], "int32"),
        "item": np.array([4, 5, 4, 6], "int32"),
        "negative": np.array([[7, 1], [4, 2], [8, 8], [5, 0]], "int32"),
    }
    found = []
    for scale in (1.0, 2.0**10):
        keras.utils.set_random_seed(0)
        with building_in("mixed_float16"):
            model = RETRIEVAL["two_tower"]()
        distiller = RetrievalDistiller(None, model, l2=0.1)
        distiller.set_dataset(small_dataset())
        sgd = keras.optimizers.SGD(0.1, momentum=0.9)
        distiller.compile(with_scale(sgd, initial_scale=TOO_LARGE, dynamic_growth_steps=2), run_eagerly=True)
        before = model.get_weights()
        distiller.train_on_batch(batch)
        assert all((new == old).all() for new, old in zip(model.get_weights(), before, strict=True))
        assert all(np.abs(slot.numpy()).max() == 0 for slot in sgd.variables[2:])
        assert (float(distiller.optimizer.dynamic_scale), int(distiller.optimizer.iterations)) == (TOO_LARGE / 2, 0)
        distiller.optimizer.dynamic_scale.assign(scale)
        for _ in range(2):
            distiller.train_on_batch(batch)
        assert (float(distiller.optimizer.dynamic_scale), int(distiller.optimizer.iterations)) == (2 * scale, 2)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


FIELDS = (
    Field("user", "categorical", "user", 30),
    Field("history", "bag", "user", 51, 6),
    Field("age", "numeric", "user", 0),
    Field("item", "categorical", "item", 50),
)
EVERY_MODEL = MODELS | {
    "mlp": lambda: mlp(FIELDS, embedding_width=4, hidden_units=(16,), embedding_l2=1e-4),
    "dcn_v2": lambda: dcn_v2(FIELDS, embedding_width=4, cross_layers=1, hidden_units=(16,)),
    "cnn": lambda: cnn((8, 8, 1), 5, hidden_units=(16,)),
}
WITHOUT_PRODUCTS = ("bpr_mf", "bpr_mf_with_bias", "light_gcn")  # rows and sums of rows, all of it float32


def some_inputs(model):
    if model.name == "cnn":
        return {"image": np.random.default_rng(1).normal(size=(40, 8, 8, 1)).astype("float32")}
    return inputs_of(model, rows=40)


@pytest.fixture(scope="module", params=sorted(EVERY_MODEL))
def kind(request):
    return request.param


@pytest.mark.parametrize("policy", MIXED)
class TestEveryModel:
    def test_it_trains_a_step_and_gives_float32(self, kind, policy):
        keras.utils.set_random_seed(0)
        with building_in(policy):
            model = EVERY_MODEL[kind]()
        computes_in = {layer.compute_dtype for layer in model._flatten_layers()}
        assert (policy.removeprefix("mixed_") in computes_in) or kind in WITHOUT_PRODUCTS
        inputs, before = some_inputs(model), model.get_weights()
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
        for _ in range(10):  # directions of short vectors have steep gradients: the scale may have to shrink first
            assert np.isfinite(model.train_on_batch(inputs, np.ones((40, model.output_shape[-1]), "float32")))
            if model.optimizer.iterations > 0:
                break
        assert all(np.isfinite(weight).all() for weight in model.get_weights())
        assert any((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))
        assert model(inputs).dtype == tf.float32


def test_every_model_says_in_float16_what_it_says_in_float32_and_so_it_does_from_its_file(kind, tmp_path):
    keras.utils.set_random_seed(0)
    model = EVERY_MODEL[kind]()
    model = model if kind == "cnn" else shuffled(model, 0.2)
    inputs = some_inputs(model)
    expected = model(inputs).numpy()
    mixed = in_precision(model, "mixed_float16")
    found = mixed(inputs).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.005 * np.abs(expected).max())
    mixed.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert policy_of(loaded).name == "mixed_float16"
    np.testing.assert_array_equal(loaded(inputs), found)
    again = in_precision(loaded, "float32")
    assert {layer.compute_dtype for layer in again._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(again(inputs), expected, rtol=1e-5, atol=1e-6)


def test_a_model_without_a_config_is_told_from_itself_in_another_precision():
    class Scorer(keras.Model):
        def __init__(self, dtype):
            super().__init__()
            self.dense = keras.layers.Dense(1, dtype=dtype, kernel_initializer="ones")

        def call(self, x):
            return self.dense(x)

        def get_config(self):
            raise NotImplementedError

    found = set()
    for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
        scorer = Scorer(dtype)
        scorer(X)
        found.add(teacher_fingerprint(scorer))
    assert len(found) == 3


class TestFiles:
    """Teachers on disk in another precision, and what mixed students export to."""

    def test_a_teacher_is_loaded_in_the_precision_asked_for(self, tmp_path):
        model = classifier("float32")
        model.save(tmp_path / "teacher.keras")
        plain = load_teacher(tmp_path / "teacher.keras")
        mixed = load_teacher(tmp_path / "teacher.keras", precision="mixed_bfloat16")
        assert mixed(X).dtype == tf.float32
        assert 0 < np.abs(mixed(X) - plain(X)).max() < 0.05
        assert mixed.feature_outputs(X, ["hidden"])["hidden"].dtype == tf.bfloat16
        assert mixed.fingerprint() != plain.fingerprint()
        with pytest.raises(ValueError, match="`precision` must be one of 'float32', 'mixed_float16', 'mixed_bfloat16'"):
            load_teacher(tmp_path / "teacher.keras", precision="float16")

    def test_what_has_one_precision_alone_is_refused_another(self, tmp_path):
        import tf_keras

        classifier("float32").export(tmp_path / "saved", verbose=False)
        with pytest.raises(UserError, match="is a SavedModel, which computes in what it was exported with"):
            load_teacher(tmp_path / "saved", precision="mixed_float16")
        tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(4,))]).save(tmp_path / "old.keras")
        with pytest.raises(UserError, match="was written by Keras 2"):
            load_teacher(tmp_path / "old.keras", precision="mixed_float16")

    def test_hidden_layers_of_a_half_precision_teacher_are_cached_in_float32(self, tmp_path):
        teacher = classifier("mixed_bfloat16")
        cache = write_soft_targets(tmp_path / "cache", teacher, X, np.arange(24), features=["hidden"])
        found = cache.lookup(np.arange(24))
        assert {array.dtype for array in found.values()} == {np.dtype("float32")}
        hidden = tf.cast(teacher.layers[0](X), "float32")
        np.testing.assert_allclose(found["hidden"], hidden, atol=0.02)

    @pytest.mark.parametrize("format", ["tflite_float16", "tflite_int8"])
    def test_a_mixed_student_becomes_the_file_of_its_float32_twin(self, format, tmp_path):
        student = shuffled(EVERY_MODEL["mlp"](), 0.2)
        inputs, settings = some_inputs(student), {}
        if format == "tflite_int8":
            settings["calibration"] = inputs
        mixed = in_precision(student, "mixed_float16")
        path = export_tflite(mixed, tmp_path / "model.tflite", format, output="logit", **settings)
        assert not any("Flex" in name or "CUSTOM" in name.upper() for name in describe(path)["operators"])
        found, expected = open_artifact(path).predict(inputs), keras.ops.sigmoid(student(inputs)).numpy()[:, 0]
        # 2^-11 of float16 weights, 2^-8 of activations in 8 bits, of a few numbers each
        np.testing.assert_allclose(found, expected, atol={"tflite_float16": 2**-10, "tflite_int8": 2**-5}[format])

    def test_a_student_quantised_in_mixed_training_has_its_int8_file(self, tmp_path):
        student = quantize_model(in_precision(shuffled(EVERY_MODEL["mlp"](), 0.2), "mixed_float16"))
        inputs = some_inputs(student)
        student(inputs, training=True)  # a forward pass of training is what finds ranges
        path = export_tflite(student, tmp_path / "model.tflite", "tflite_int8", output="logit")
        found = open_artifact(path).predict(inputs)
        assert np.corrcoef(found, student(inputs)[:, 0])[0, 1] > 0.995

    def test_a_mixed_retrieval_student_becomes_the_file_of_its_float32_twin(self, tmp_path):
        student, data = shuffled(RETRIEVAL["sas_rec"](), 0.2), small_dataset()
        mixed = in_precision(student, "mixed_bfloat16")
        path = export_retrieval(mixed, data, tmp_path / "model.tflite", "tflite_float32", k=5, exclude=())
        history = np.array([[0, 0, 0, 4, 6, 9]], np.int32)
        user = towers(student)[0]({"history": history}).numpy()
        expected = np.sort(user @ item_vectors(student, data).T)[0, :-6:-1]
        found = Interpreter(str(path)).get_signature_runner("serve_one")(history=history - 1)
        np.testing.assert_allclose(found["score"][0], expected, rtol=1e-5)
