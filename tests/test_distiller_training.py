"""Flags, precision, metrics and modes of execution of the Distiller."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill import distiller as distiller_module
from tfdistill.losses import LogitsDistillation

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(24, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 24)
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batch_normalised(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *layers])


class Teacher:
    """A callable that is no Keras model and notes how it was called."""

    def __init__(self):
        self.calls = []

    def __call__(self, inputs, training=None):
        self.calls.append(training)
        return tf.tile(inputs[:, :1], [1, 3])


def test_the_teacher_runs_in_training_alone_and_with_training_false():
    teacher = Teacher()
    distiller = Distiller(teacher, batch_normalised(), LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    distiller.evaluate(X, Y, verbose=0)
    distiller.predict(X, verbose=0)
    assert teacher.calls == []
    distiller.fit(X, Y, batch_size=8, validation_data=(X, Y), verbose=0)
    assert teacher.calls == [False] * 3


def test_the_teacher_runs_in_evaluate_if_asked_and_never_where_its_share_is_zero():
    teacher = Teacher()
    distiller = Distiller(teacher, batch_normalised(), LogitsDistillation(), evaluate_distillation=True)
    distiller.compile("sgd", HARD, run_eagerly=True)
    distiller.evaluate(X, Y, batch_size=24, verbose=0)
    assert teacher.calls == [False]
    distiller = Distiller(teacher, batch_normalised(), LogitsDistillation(), student_loss_weight=1.0)
    distiller.compile("sgd", HARD, run_eagerly=True)
    distiller.fit(X, Y, verbose=0)
    assert teacher.calls == [False]


def test_a_teacher_without_a_training_argument_is_called_without_it():
    distiller = Distiller(lambda x: x[:, :3], batch_normalised(), LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    assert np.isfinite(distiller.train_on_batch(X, Y)).all()


def test_the_teacher_runs_outside_the_gradient_tape(monkeypatch):
    tapes = []

    class Tape(tf.GradientTape):
        def __enter__(self):
            tapes.append(self)
            return super().__enter__()

        def __exit__(self, *details):
            tapes.remove(self)
            return super().__exit__(*details)

    open_tapes = []

    def teacher(inputs):
        open_tapes.append(len(tapes))
        return inputs[:, :3]

    monkeypatch.setattr(distiller_module.tf, "GradientTape", Tape)
    distiller = Distiller(teacher, batch_normalised(), LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    distiller.train_on_batch(X, Y)
    assert open_tapes == [0]


def test_fit_leaves_the_teacher_as_it_was():
    teacher = batch_normalised()
    before = teacher.get_weights()
    distiller = Distiller(teacher, batch_normalised(1), LogitsDistillation())
    distiller.compile("adam", HARD)
    distiller.fit(X, Y, epochs=2, verbose=0)
    assert teacher.trainable and all(layer.trainable for layer in teacher.layers)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_teacher_is_not_among_the_weights():
    student = batch_normalised()
    distiller = Distiller(batch_normalised(), student, LogitsDistillation())
    assert [id(w) for w in distiller.trainable_weights] == [id(w) for w in student.trainable_weights]
    assert [id(w) for w in distiller.non_trainable_weights] == [id(w) for w in student.non_trainable_weights]
    assert distiller.layers[0] is student and not distiller.layers[1].weights  # the other one is the loss
    assert len(distiller.layers) == 2


def test_batch_statistics_of_the_student_move_in_fit_and_not_in_evaluate():
    student = batch_normalised()
    distiller = Distiller(batch_normalised(1), student, LogitsDistillation(), evaluate_distillation=True)
    distiller.compile("sgd", HARD, run_eagerly=True)
    statistics = [w.numpy() for w in student.non_trainable_weights]
    distiller.evaluate(X, Y, verbose=0)
    distiller.predict(X, verbose=0)
    for old, new in zip(statistics, student.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new)
    distiller.fit(X, Y, verbose=0)
    for old, new in zip(statistics, student.non_trainable_weights, strict=True):
        assert (old != new.numpy()).any()


def test_frozen_layers_of_the_student_stay():
    student = batch_normalised()
    student.layers[0].trainable = False
    before = student.get_weights()
    distiller = Distiller(batch_normalised(1), student, LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    distiller.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(before[0], student.get_weights()[0])
    assert (before[-1] != student.get_weights()[-1]).any()


def half_precision_student(policy):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, "relu", dtype=policy)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype=policy)(hidden))
    model.dtype_policy = policy
    return model


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_students_train_and_their_losses_are_float32(policy):
    student = half_precision_student(policy)
    distiller = Distiller(batch_normalised(), student, LogitsDistillation(4.0))
    distiller.compile(keras.optimizers.Adam(0.01), HARD)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert student(X).dtype == policy.removeprefix("mixed_")
    losses = distiller.fit(X, Y, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.99 * losses[0]
    assert distiller.compute_loss(X, tf.constant(Y), student(X)).dtype == tf.float32


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_half_precision_step_is_the_float32_step(policy):
    teacher, steps = batch_normalised(), []
    for student in (half_precision_student(policy), half_precision_student("float32")):
        before = student.get_weights()
        distiller = Distiller(teacher, student, LogitsDistillation(4.0))
        distiller.compile(keras.optimizers.SGD(1.0), HARD, run_eagerly=True)
        distiller.train_on_batch(X, Y)
        steps.append([new - old for old, new in zip(before, student.get_weights(), strict=True)])
    for half, full in zip(*steps, strict=True):
        np.testing.assert_allclose(half, full, atol=0.02 * np.abs(full).max())


def test_half_precision_losses_equal_float32_losses_of_the_same_outputs():
    student = half_precision_student("mixed_float16")
    teacher = batch_normalised()
    distiller = Distiller(teacher, student, LogitsDistillation(4.0), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    teacher_logits, student_logits = teacher(X), tf.cast(student(X), "float32")
    expected = LogitsDistillation(4.0).compute_loss(teacher_logits, student_logits)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


def test_a_mixed_precision_policy_does_not_touch_the_inputs():
    # 4097 has no float16: a ranker that reads ids as floats would look up the neighbour.
    student = keras.Sequential([keras.Input((1,)), keras.layers.Identity(dtype="float32")])
    distiller = Distiller(lambda x: x, student, LogitsDistillation(), dtype="mixed_float16")
    ids = np.array([[4097.0]], "float32")
    assert distiller.predict(ids, verbose=0) == ids
    assert distiller(ids).numpy() == ids


def two_headed():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((4,))
    return keras.Model(
        inputs,
        {"click": keras.layers.Dense(1, name="click")(inputs), "genre": keras.layers.Dense(3, name="genre")(inputs)},
    )


LABELS = {"click": (Y > 0).astype("float32")[:, None], "genre": Y}
HARD_LOSSES = {"click": keras.losses.BinaryCrossentropy(from_logits=True), "genre": HARD}


@pytest.mark.parametrize(
    "metrics, names",
    [
        ({"click": ["AUC", "mse"], "genre": "accuracy"}, {"click_AUC", "click_mse", "genre_accuracy"}),
        ({"genre": [keras.metrics.SparseCategoricalAccuracy("hits")]}, {"genre_hits"}),
        ([["AUC"], ["accuracy"]], {"click_AUC", "genre_accuracy"}),
        (None, set()),
    ],
)
def test_metrics_of_several_outputs_come_in_every_form(metrics, names):
    distiller = Distiller(two_headed(), two_headed(), LogitsDistillation())
    distiller.compile("sgd", HARD_LOSSES, metrics, run_eagerly=True)
    logs = distiller.fit(X, LABELS, verbose=0, validation_data=(X, LABELS)).history
    losses = {"loss", "total_loss", "student_loss", "click_loss", "genre_loss"}
    expected = names | losses
    assert set(logs) == expected | {"distillation_loss"} | {f"val_{name}" for name in expected}


def test_metrics_and_weighted_metrics_equal_those_of_the_student_alone():
    student = batch_normalised()
    weights = GENERATOR.uniform(0, 2, 24)
    arguments = {"metrics": ["accuracy"], "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy("weighted")]}
    distiller = Distiller(batch_normalised(1), student, LogitsDistillation())
    for model in (distiller, student):
        model.compile("sgd", loss=HARD, run_eagerly=True, **arguments)
    logs = distiller.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)
    expected = student.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-6)


def test_several_outputs_are_blended_with_their_loss_weights_and_sample_weights():
    teacher, student = two_headed(), two_headed()
    teacher.set_weights([w + 1 for w in teacher.get_weights()])
    weights = {"click": np.full(24, 2.0), "genre": np.full(24, 3.0)}
    loss = LogitsDistillation(2.0, {"click": "kl_divergence", "genre": None})
    distiller = Distiller(teacher, student, loss)
    loss_weights = {"click": 0.5, "genre": 4.0}
    distiller.compile(keras.optimizers.SGD(0.0), HARD_LOSSES, loss_weights=loss_weights, run_eagerly=True)
    logs = distiller.train_on_batch(X, LABELS, sample_weight=weights, return_dict=True)
    predictions, soft = student.predict(X, verbose=0), teacher.predict(X, verbose=0)
    hard = 2 * 0.5 * HARD_LOSSES["click"](LABELS["click"], predictions["click"])
    hard += 3 * 4.0 * HARD(Y, predictions["genre"])
    np.testing.assert_allclose(logs["student_loss"], hard, rtol=1e-5)
    expected = 2 * LogitsDistillation(2.0).compute_loss(soft["click"], predictions["click"])
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


def trained(data=None, optimizer=None, **compile_arguments):
    """The student's weights and the history after two epochs of three batches in a fixed order."""
    student = batch_normalised(7)
    distiller = Distiller(batch_normalised(8), student, LogitsDistillation())
    distiller.compile(optimizer or keras.optimizers.Adam(0.01), HARD, ["accuracy"], **compile_arguments)
    fit = {"x": X, "y": Y, "batch_size": 8} if data is None else {"x": data}
    return distiller.fit(**fit, shuffle=False, epochs=2, verbose=0).history, student.get_weights()


def assert_same_training(run, reference):
    for name, values in reference[0].items():
        np.testing.assert_allclose(run[0][name], values, rtol=1e-4, err_msg=name)
    for one, other in zip(run[1], reference[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture(scope="module")
def reference():
    return trained()


@pytest.mark.parametrize(
    "arguments", [{"steps_per_execution": 3}, {"jit_compile": True}, {"run_eagerly": True}], ids=str
)
def test_modes_of_execution_train_alike(reference, arguments):
    assert_same_training(trained(**arguments), reference)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return X[rows], Y[rows]


@pytest.mark.parametrize("data", [tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), Batches()], ids=["tf", "py"])
def test_sources_of_data_train_alike(reference, data):
    assert_same_training(trained(data), reference)


def test_gradients_accumulate_over_steps_as_over_one_large_batch():
    def steps(batch_size, **arguments):
        student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones")])
        distiller = Distiller(batch_normalised(8), student, LogitsDistillation())
        distiller.compile(keras.optimizers.SGD(0.5, **arguments), HARD)
        distiller.fit(X, Y, batch_size=batch_size, shuffle=False, verbose=0)
        return student.get_weights()[0]

    np.testing.assert_allclose(steps(8, gradient_accumulation_steps=3), steps(24), atol=1e-6)


def test_xla_is_no_default_with_a_teacher_of_unknown_make(monkeypatch):
    monkeypatch.setattr(Distiller, "_resolve_auto_jit_compile", lambda self: True)
    for teacher, expected in ((batch_normalised(), True), (lambda x: x, False), (None, False)):
        distiller = Distiller(teacher, batch_normalised(), LogitsDistillation())
        distiller.compile("sgd", HARD)
        assert distiller.jit_compile == expected


def test_a_new_teacher_takes_effect_in_the_next_step():
    distiller = Distiller(lambda x: x[:, :3], batch_normalised(), LogitsDistillation(), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0))
    first = distiller.train_on_batch(X, Y, return_dict=True)["distillation_loss"]
    distiller.teacher = lambda x: 9 * x[:, 1:4]
    assert distiller.train_on_batch(X, Y, return_dict=True)["distillation_loss"] != first


def test_an_unbuilt_subclassed_student_trains():
    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

    distiller = Distiller(batch_normalised(), Student(), LogitsDistillation())
    assert not distiller.built
    distiller.compile(keras.optimizers.Adam(0.05), HARD)
    losses = distiller.fit(X, Y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and distiller.built
