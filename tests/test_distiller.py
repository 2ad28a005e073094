"""The blend of losses, sample weights, inputs and arguments of the Distiller."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation
from tfdistill.teachers import CachedTeacher

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(20, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 20)
WEIGHTS = GENERATOR.uniform(0, 2, 20).astype("float32")
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense(units=3, **arguments):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, **arguments)])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def hard_values(model):
    return -np.log(softmax(X @ model.get_weights()[0] + model.get_weights()[1])[np.arange(20), Y])


def soft_values(teacher, student, temperature):
    p, q = (softmax((X @ m.get_weights()[0] + m.get_weights()[1]) / temperature) for m in (teacher, student))
    return temperature**2 * (p * np.log(p / q)).sum(-1)


def one_step(distiller, **arguments):
    """The logs of one batch, without a change of the weights."""
    distiller.compile(keras.optimizers.SGD(0.0), HARD, run_eagerly=True)
    return distiller.train_on_batch(X, Y, return_dict=True, **arguments)


def test_the_total_is_the_weighted_blend_of_hard_and_soft_losses():
    teacher, student = dense(), dense()
    losses = [LogitsDistillation(2.0), LogitsDistillation(5.0)]
    logs = one_step(Distiller(teacher, student, losses, [0.5, 3.0], student_loss_weight=0.3))
    hard = hard_values(student).mean()
    soft = 0.5 * soft_values(teacher, student, 2.0).mean() + 3.0 * soft_values(teacher, student, 5.0).mean()
    np.testing.assert_allclose(logs["student_loss"], hard, rtol=1e-5)
    np.testing.assert_allclose(logs["distillation_loss"], soft, rtol=1e-4)
    np.testing.assert_allclose(logs["total_loss"], 0.3 * hard + 0.7 * soft, rtol=1e-5)
    assert logs["loss"] == logs["total_loss"]


def test_sample_weights_count_in_hard_and_soft_losses():
    teacher, student = dense(), dense()
    logs = one_step(Distiller(teacher, student, LogitsDistillation(2.0)), sample_weight=WEIGHTS)
    np.testing.assert_allclose(logs["student_loss"], (WEIGHTS * hard_values(student)).mean(), rtol=1e-5)
    np.testing.assert_allclose(
        logs["distillation_loss"], (WEIGHTS * soft_values(teacher, student, 2.0)).mean(), rtol=1e-4
    )


def test_class_weights_are_sample_weights_by_class():
    distiller = Distiller(dense(), dense(), LogitsDistillation(2.0))
    by_class = one_step(distiller, class_weight={0: 3.0, 1: 0.0, 2: 1.0})
    assert by_class == one_step(distiller, sample_weight=np.array([3.0, 0.0, 1.0])[Y])


def test_regularisation_and_activity_losses_of_the_student_are_added_in_full():
    def student_of(**arguments):
        student = dense(kernel_initializer="ones", **arguments)
        return one_step(Distiller(teacher, student, LogitsDistillation(2.0), student_loss_weight=0.25))["total_loss"]

    teacher = dense()
    plain = student_of()
    # 12 weights of 1: 0.1 * 12; activities: 0.01 * Σ|x·1| over 3 units, by the batch
    np.testing.assert_allclose(student_of(kernel_regularizer=keras.regularizers.L2(0.1)), plain + 1.2, rtol=1e-5)
    expected = plain + 0.01 * 3 * np.abs(X.sum(1)).sum() / 20
    np.testing.assert_allclose(student_of(activity_regularizer=keras.regularizers.L1(0.01)), expected, rtol=1e-5)


def test_losses_of_the_teacher_are_not_counted():
    teacher = dense(kernel_regularizer=keras.regularizers.L2(100.0))
    logs = one_step(Distiller(teacher, dense(), LogitsDistillation(2.0)))
    np.testing.assert_allclose(logs["total_loss"], (logs["student_loss"] + logs["distillation_loss"]) / 2, rtol=1e-5)


def test_epoch_losses_are_means_over_rows_and_not_over_batches():
    teacher, student = dense(), dense()
    distiller = Distiller(teacher, student, LogitsDistillation(2.0))
    distiller.compile(keras.optimizers.SGD(0.0), HARD)
    history = distiller.fit(X, Y, batch_size=16, verbose=0).history  # batches of 16 and 4
    np.testing.assert_allclose(history["student_loss"], hard_values(student).mean(), rtol=1e-5)
    np.testing.assert_allclose(history["distillation_loss"], soft_values(teacher, student, 2.0).mean(), rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_the_student_moves_by_temperature_times_the_difference_of_distributions(temperature):
    teacher, student = dense(), dense()
    before = student.get_weights()
    p, q = (softmax((X @ m.get_weights()[0] + m.get_weights()[1]) / temperature) for m in (teacher, student))
    distiller = Distiller(teacher, student, LogitsDistillation(temperature), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    distiller.train_on_batch(X, Y)
    expected = before[0] - X.T @ (temperature * (q - p)) / 20
    np.testing.assert_allclose(student.get_weights()[0], expected, atol=1e-5)


def test_with_the_hard_loss_alone_it_trains_as_the_student_does():
    keras.utils.set_random_seed(1)
    student = dense()
    alone = keras.models.clone_model(student)
    alone.set_weights(student.get_weights())
    distiller = Distiller(dense(), student, LogitsDistillation(), student_loss_weight=1.0)
    for model in (distiller, alone):
        model.compile("adam", HARD)
    distilled = distiller.fit(X, Y, sample_weight=WEIGHTS, shuffle=False, epochs=3, verbose=0).history["loss"]
    plain = alone.fit(X, Y, sample_weight=WEIGHTS, shuffle=False, epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(distilled, plain, rtol=1e-6)


def test_a_binary_task_uses_sigmoids():
    teacher, student = dense(1), dense(1)
    distiller = Distiller(teacher, student, LogitsDistillation(2.0), student_loss_weight=0.0)
    logs = one_step(distiller)
    p, q = (1 / (1 + np.exp(-(X @ m.get_weights()[0] + m.get_weights()[1]) / 2)) for m in (teacher, student))
    expected = 4 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-4)


def test_models_that_return_probabilities_give_the_losses_of_their_logits():
    teacher, student = dense(), dense()
    logits = one_step(Distiller(teacher, student, LogitsDistillation(2.0)))
    ends = [keras.Sequential([keras.Input((4,)), model, keras.layers.Softmax()]) for model in (teacher, student)]
    distiller = Distiller(*ends, LogitsDistillation(2.0, from_logits=False))
    distiller.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", run_eagerly=True)
    probabilities = distiller.train_on_batch(X, Y, return_dict=True)
    for name in ("student_loss", "distillation_loss", "total_loss"):
        np.testing.assert_allclose(probabilities[name], logits[name], rtol=1e-4)


def test_predict_gives_what_the_student_predicts():
    distiller = Distiller(dense(), dense(), LogitsDistillation())
    np.testing.assert_array_equal(distiller.predict(X, verbose=0), distiller.student.predict(X, verbose=0))


def test_evaluate_judges_the_student_alone():
    student = dense(kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.1))
    distiller = Distiller(dense(), student, LogitsDistillation())
    distiller.compile("sgd", HARD)
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    hard = hard_values(student).mean()
    assert set(logs) == {"loss", "total_loss", "student_loss"}
    np.testing.assert_allclose(logs["student_loss"], hard, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], hard + 1.2, rtol=1e-5)


def test_evaluate_reports_what_training_does_if_asked():
    distiller = Distiller(dense(), dense(), LogitsDistillation(), evaluate_distillation=True)
    trained = one_step(distiller)
    evaluated = distiller.evaluate(X, Y, verbose=0, batch_size=20, return_dict=True)
    assert evaluated.keys() == trained.keys()
    for name, value in trained.items():
        np.testing.assert_allclose(evaluated[name], value, rtol=1e-5)


def test_without_a_share_of_the_hard_loss_neither_loss_nor_labels_are_needed():
    distiller = Distiller(dense(), dense(), LogitsDistillation(), student_loss_weight=0.0)
    distiller.compile("sgd")
    history = distiller.fit(tf.data.Dataset.from_tensor_slices((X,)).batch(5), verbose=0).history
    assert history["student_loss"] == [0.0]
    assert history["loss"] == history["distillation_loss"]


@pytest.mark.parametrize("ours", [True, False])
def test_keras_losses_work_here_and_ours_under_keras(ours):
    if ours:
        distiller = Distiller(
            dense(), dense(), [keras.distillation.LogitsDistillation(), keras.distillation.FeatureDistillation()]
        )
    else:
        distiller = keras.distillation.Distiller(dense(), dense(), [LogitsDistillation(), FeatureDistillation()])
    distiller.compile(keras.optimizers.Adam(0.05), HARD)
    losses = distiller.fit(X, Y, epochs=10, verbose=0).history["total_loss"]
    assert losses[-1] < losses[0]


def test_keras_losses_cannot_broadcast_either():
    distiller = Distiller(lambda x: x[:, :1], dense(), keras.distillation.LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    with pytest.raises(ValueError, match="must have the same shape"):
        distiller.train_on_batch(X, Y)


def test_a_loss_of_ones_own_needs_no_sample_weight_argument():
    class Difference(keras.distillation.DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs):
            return keras.ops.mean(keras.ops.abs(teacher_outputs - student_outputs))

    teacher, student = dense(), dense()
    logs = one_step(Distiller(teacher, student, Difference()), sample_weight=WEIGHTS)
    expected = np.abs(teacher.predict(X, verbose=0) - student.predict(X, verbose=0)).mean()
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


def test_a_loss_that_is_no_scalar_is_refused():
    class Rows(keras.distillation.DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return teacher_outputs - student_outputs

    with pytest.raises(ValueError, match="Rows.compute_loss must return a scalar"):
        one_step(Distiller(dense(), dense(), Rows()))


def named_inputs(*names):
    inputs = {name: keras.Input((1,), name=name) for name in names}
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Concatenate()(list(inputs.values()) * 2)))


def test_teacher_and_student_get_the_inputs_that_they_declare():
    teacher, student = named_inputs("a", "b", "price_paid"), named_inputs("b", "a")
    batch = {name: X[:, i : i + 1] for i, name in enumerate(("a", "b", "price_paid", "unused"))}
    distiller = Distiller(teacher, student, LogitsDistillation(2.0))
    distiller.compile(keras.optimizers.SGD(0.0), HARD, run_eagerly=True)
    logs = distiller.train_on_batch(batch, Y, return_dict=True)
    predictions = [
        model.predict({name: batch[name] for name in model.input}, verbose=0) for model in (teacher, student)
    ]
    expected = LogitsDistillation(2.0).compute_loss(*predictions)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(distiller.predict(batch, verbose=0), predictions[1], rtol=1e-5)


def test_a_missing_input_is_named():
    distiller = Distiller(named_inputs("a", "b"), named_inputs("a"), LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    with pytest.raises(ValueError, match=r"teacher '.*' misses the inputs \['b'\]. The batch has: \['a'\]"):
        distiller.train_on_batch({"a": X[:, :1]}, Y)


def test_inputs_given_by_name_reach_models_with_lists_of_inputs():
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    student = keras.Model([b, a], keras.layers.Dense(3)(keras.layers.Subtract()([a, b])))
    teacher = keras.Sequential([keras.Input((1,), name="a"), keras.layers.Dense(3)])
    distiller = Distiller(teacher, student, LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    batch = {"a": X[:, :1], "b": X[:, 1:2], "c": X}
    distiller.train_on_batch(batch, Y)
    kernel, bias = student.get_weights()
    np.testing.assert_allclose(distiller.predict(batch, verbose=0), (X[:, :1] - X[:, 1:2]) @ kernel + bias, atol=1e-5)


def test_cached_soft_targets_teach_what_the_teacher_would():
    teacher, student = named_inputs("a", "b"), named_inputs("a", "b")
    batch = {"a": X[:, :1], "b": X[:, 1:2]}
    live = one_step_on(Distiller(teacher, student, LogitsDistillation(2.0)), batch)
    cached = {**batch, "teacher_logits": teacher.predict(batch, verbose=0)}
    distiller = Distiller(CachedTeacher(), student, LogitsDistillation(2.0))
    for name, value in one_step_on(distiller, cached).items():
        np.testing.assert_allclose(value, live[name], rtol=1e-5)
    # neither needs the column
    distiller.predict(batch, verbose=0)
    distiller.evaluate(batch, Y, verbose=0)


def one_step_on(distiller, batch):
    distiller.compile(keras.optimizers.SGD(0.0), HARD, run_eagerly=True)
    return distiller.train_on_batch(batch, Y, return_dict=True)


def test_a_subclassed_student_does_not_see_cached_soft_targets():
    seen = []

    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            seen.append(sorted(inputs))
            return self.dense(inputs["a"])

    distiller = Distiller(CachedTeacher("soft"), Student(), LogitsDistillation())
    one_step_on(distiller, {"a": X, "soft": np.zeros((20, 3), "float32")})
    distiller.predict({"a": X, "soft": np.zeros((20, 3), "float32")}, verbose=0)
    assert seen and all(names == ["a"] for names in seen)


def test_missing_cached_soft_targets_are_named():
    distiller = Distiller(CachedTeacher("soft"), named_inputs("a"), LogitsDistillation())
    with pytest.raises(ValueError, match=r"the column 'soft'. Received: \['a'\]"):
        one_step_on(distiller, {"a": X[:, :1]})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"teacher": "a teacher"}, "No teacher at 'a teacher'"),
        ({"teacher": 3}, "`teacher` must be"),
        ({"student": lambda x: x}, "`student` must be a keras.Model"),
        ({"distillation_losses": None}, "`distillation_losses` must be"),
        ({"distillation_losses": []}, "`distillation_losses` must be"),
        ({"distillation_losses": "mse"}, "`distillation_losses` must be"),
        ({"distillation_loss_weights": [1.0, 2.0]}, "one weight for each of the 1"),
        ({"distillation_loss_weights": ["1"]}, "must be a number, a schedule or an adaptive weight"),
        ({"student_loss_weight": 1.5}, "student_loss_weight=1.5"),
        ({"student_loss_weight": "half"}, "student_loss_weight='half'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    defaults = {"teacher": dense(), "student": dense(), "distillation_losses": LogitsDistillation()}
    with pytest.raises(ValueError, match=message):
        Distiller(**{**defaults, **arguments})


def test_models_with_different_outputs_are_refused():
    with pytest.raises(ValueError, match=r"teacher \(None, 4\), student \(None, 3\)"):
        Distiller(dense(4), dense(3), LogitsDistillation())


def test_a_single_loss_may_have_a_weight():
    assert Distiller(dense(), dense(), LogitsDistillation(), 2.5).distillation_loss_weights == [2.5]


def test_a_hard_loss_with_a_share_must_be_given():
    with pytest.raises(ValueError, match="`loss` cannot be None.*student_loss_weight=0.5"):
        Distiller(dense(), dense(), LogitsDistillation()).compile("adam")


def test_training_without_labels_is_refused_where_the_hard_loss_has_a_share():
    distiller = Distiller(dense(), dense(), LogitsDistillation())
    distiller.compile("sgd", HARD, run_eagerly=True)
    with pytest.raises(ValueError, match="The hard loss needs labels"):
        distiller.fit(tf.data.Dataset.from_tensor_slices((X,)).batch(5), verbose=0)
