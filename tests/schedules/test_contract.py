"""What every schedule, adaptive temperature and adaptive weight keeps to. A new one needs a line in SAMPLES."""

import doctest
import importlib
import inspect
import json
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill.schedules as schedules
from tfdistill import Distiller
from tfdistill.losses import LogitsDistillation, softened_kl_divergence
from tfdistill.schedules import AdaptiveTemperature, AdaptiveWeight, Schedule
from tfdistill.schedules.catalogue import kind_of

# Cosines to the teacher 1, 0 and 0; the students' greatest probabilities 0.8, 1/2 and 1/2.
TEACHER = np.array([[np.log(4.0), 0.0], [1.0, 0.0], [0.0, 0.0]], "float32")
STUDENT = np.array([[np.log(4.0), 0.0], [0.0, 0.0], [0.0, 0.0]], "float32")
LOSS = 8.0
END = 10**6

# {class: (arguments, what it can be, its value at step 0 and at the end, worked by hand)}. A weight's value is that of
# the weighted loss.
SAMPLES = {
    "Constant": ({"value": 0.5}, "temperature weight share", 0.5, 0.5),
    "Linear": ({"initial": 0.25, "final": 1.0, "steps": 10, "begin": 2}, "temperature weight share", 0.25, 1.0),
    "Cosine": ({"initial": 1.0, "final": 0.5, "steps": 10}, "temperature weight share", 1.0, 0.5),
    "StepSchedule": ({"boundaries": [3, 6], "values": [1.0, 0.5, 0.25]}, "temperature weight share", 1.0, 0.25),
    "WarmUp": ({"target": 1.0, "steps": 5}, "weight share", 0.0, 1.0),
    "AnnealingSchedule": (
        {"max_temperature": 4, "steps_per_temperature": 10},
        "temperature weight share",
        0.25,
        1.0,
    ),
    # 1 + 20 sigmoid(log 3) = 1 + 20 * 3/4
    "CurriculumTemperature": ({"steps": 10, "initial": float(np.log(3.0))}, "temperature", 16.0, 16.0),
    # w = 0, 1, 1
    "FocalTemperature": ({"base": 4.0, "beta": 3.0}, "temperature", [6.0, 3.0, 3.0], [6.0, 3.0, 3.0]),
    # w = 5/4, 2, 2 with the mean 7/4
    "ConfidenceTemperature": ({"base": 4.0, "beta": 2.0}, "temperature", [5.0, 3.5, 3.5], [5.0, 3.5, 3.5]),
    # 8 exp(0)/2 + 0
    "UncertaintyWeight": ({}, "weight", 4.0, 4.0),
    "FadingWeight": ({"warm_up_steps": 3}, "weight", 8.0, 8.0),
}
BASES = ("AdaptiveTemperature", "AdaptiveWeight", "Schedule")
CLASSES = [name for name in schedules.__all__ if inspect.isclass(getattr(schedules, name)) and name not in BASES]
every = pytest.mark.parametrize("name", CLASSES)


def make(name):
    if name not in SAMPLES:
        pytest.fail(f"tfdistill.schedules.{name} has no line in SAMPLES of this test: add one.")
    return getattr(schedules, name)(**SAMPLES[name][0])


def uses(name):
    make(name)
    return SAMPLES[name][1].split()


def value(one, step, teacher, student):
    if isinstance(one, AdaptiveTemperature):
        return one.resolve(step, teacher, student)
    if isinstance(one, AdaptiveWeight):
        return schedules.weigh(one, tf.reduce_sum(teacher) * 0.0 + LOSS, step, training=False)
    return one(step)


def compiled(one, **arguments):
    """`value` of unknown batch size, as a function of step, teacher and student."""
    signature = [tf.TensorSpec([], "int64"), tf.TensorSpec([None, 2]), tf.TensorSpec([None, 2])]
    return tf.function(lambda *inputs: value(one, *inputs), input_signature=signature, **arguments)


def constants(step):
    return tf.constant(step, "int64"), tf.constant(TEACHER), tf.constant(STUDENT)


def numpy_divergence(temperature):
    temperature = np.broadcast_to(np.asarray(temperature, "float64"), [3])[:, None]
    p, q = (np.exp(z / temperature) / np.exp(z / temperature).sum(-1, keepdims=True) for z in (TEACHER, STUDENT))
    return temperature[:, 0] ** 2 * (p * np.log(p / q)).sum(-1)


@every
def test_it_is_a_schedule_or_adaptive_and_recipes_know_it(name):
    one = make(name)
    assert isinstance(one, (Schedule, AdaptiveTemperature, AdaptiveWeight))
    for steps_per_epoch in (None, 10):
        assert type(schedules.get({"kind": kind_of(type(one)), **SAMPLES[name][0]}, steps_per_epoch)) is type(one)


@every
def test_its_durations_are_arguments_of_its_constructor(name):
    one = make(name)
    assert set(one.durations) <= set(inspect.signature(type(one)).parameters)


@every
def test_its_configuration_survives_a_file(name):
    one = make(name)
    config = json.loads(json.dumps(schedules.serialize(one)))
    copy = schedules.deserialize(config)
    assert type(copy) is type(one)
    assert copy.get_config() == one.get_config()
    for step in (0, 4):
        np.testing.assert_array_equal(value(copy, *constants(step)), value(one, *constants(step)))


@every
def test_its_value_at_step_0_and_after_the_end_is_as_worked_by_hand(name):
    one, (_, _, at_start, at_end) = make(name), SAMPLES[name]
    for step, expected in ((0, at_start), (END, at_end)):
        result = value(one, *constants(step))
        assert result.dtype == tf.float32
        assert tuple(result.shape) == np.shape(expected)
        np.testing.assert_allclose(result, expected, rtol=1e-5)
        np.testing.assert_array_equal(value(one, step, TEACHER, STUDENT), result)  # a step of Python, logits of NumPy


@every
def test_graph_and_xla_agree_with_eager_whatever_the_batch_size(name):
    one = make(name)
    graph, xla = compiled(one), compiled(one, jit_compile=True)
    for step in (0, 1, 3, 4, 6, 7, 10, 29, 30, END):
        expected = value(one, *constants(step))
        np.testing.assert_allclose(graph(*constants(step)), expected, rtol=1e-6)
        np.testing.assert_allclose(xla(*constants(step)), expected, rtol=1e-5, atol=1e-6)


@every
def test_it_is_float32_under_a_policy_of_half_precision(name):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        one = make(name)
        result = value(one, tf.constant(0, "int64"), tf.cast(TEACHER, "float16"), tf.cast(STUDENT, "float16"))
    finally:
        keras.config.set_dtype_policy(policy)
    assert result.dtype == tf.float32
    assert all(weight.dtype == "float32" for weight in getattr(one, "weights", []))


@every
def test_its_weights_exist_at_once_and_are_scalars(name):
    one = make(name)
    if isinstance(one, keras.layers.Layer):
        assert one.built and one.weights
        assert all(tuple(weight.shape) == () for weight in one.weights)


@every
def test_it_is_accepted_where_it_makes_sense_and_refused_elsewhere(name):
    one = make(name)
    checks = {
        "temperature": schedules.check_temperature,
        "weight": lambda given: schedules.check_weight(given, "weight"),
        "share": schedules.check_share,
    }
    for use, check in checks.items():
        if use in uses(name):
            assert check(one) is one
        else:
            with pytest.raises(ValueError, match="must be a"):
                check(one)


@every
def test_as_a_temperature_it_softens_a_divergence(name):
    if "temperature" not in uses(name):
        return
    temperature = schedules.resolve_temperature(make(name), *constants(0))
    by_example = np.broadcast_to(temperature, [3])
    divergences = [
        float(softened_kl_divergence(TEACHER[i : i + 1], STUDENT[i : i + 1], by_example[i])[0]) for i in range(3)
    ]
    np.testing.assert_allclose(divergences, numpy_divergence(SAMPLES[name][2]), rtol=1e-4, atol=1e-6)


@every
def test_as_a_weight_it_weighs_a_loss(name):
    if "weight" not in uses(name):
        return
    one = make(name)
    expected = SAMPLES[name][2] if isinstance(one, AdaptiveWeight) else SAMPLES[name][2] * LOSS
    weighted = schedules.weigh(one, tf.constant(LOSS), tf.constant(0), training=True)
    assert weighted.dtype == tf.float32 and weighted.shape == ()
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)


@every
def test_a_schedules_bounds_hold_and_are_reached(name):
    one = make(name)
    if not isinstance(one, Schedule):
        return
    values = [float(one(step)) for step in range(0, 60)]
    np.testing.assert_allclose([min(values), max(values)], one.bounds, rtol=1e-6)


@every
def test_a_schedule_is_a_learning_rate_too(name):
    one = make(name)
    if not isinstance(one, Schedule):
        return
    optimizer = keras.optimizers.SGD(one)
    np.testing.assert_allclose(optimizer.learning_rate, SAMPLES[name][2], rtol=1e-6)
    copy = keras.optimizers.SGD.from_config(optimizer.get_config())
    np.testing.assert_allclose(copy.learning_rate, SAMPLES[name][2], rtol=1e-6)


@every
def test_a_distiller_trains_with_it_and_keeps_it_in_its_file(name, tmp_path):
    keras.utils.set_random_seed(0)
    one, (teacher, student) = make(name), (keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in "ts")
    distiller = Distiller(
        teacher,
        student,
        LogitsDistillation(one if "temperature" in uses(name) else 2.0),
        [one if "weight" in uses(name) else 1.0],
        student_loss_weight=one if "share" in uses(name) else 0.5,
    )
    distiller.compile("sgd", "mse", jit_compile=False)
    history = distiller.fit(np.eye(3, dtype="float32"), np.ones((3, 2), "float32"), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    for key in ("distillation_losses", "distillation_loss_weights", "student_loss_weight"):
        assert loaded.get_config()[key] == distiller.get_config()[key]
    assert len(loaded.weights) == len(distiller.weights)
    for ours, theirs in zip(loaded.weights, distiller.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("module", [each.name for each in pkgutil.iter_modules(schedules.__path__)])
def test_the_examples_in_the_documentation_are_right(module):
    failures, _ = doctest.testmod(importlib.import_module(f"tfdistill.schedules.{module}"))
    assert failures == 0
