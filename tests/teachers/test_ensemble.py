"""Ensembles: what they answer, what they ask, and what a student learns of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation
from tfdistill.teachers import CachedTeacher, Ensemble, confidence_weights, entropy_weights

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(12, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 12)


def dense(units=3, hidden=None, **arguments):
    layers = [] if hidden is None else [keras.layers.Dense(hidden, name="hidden")]
    layers.append(keras.layers.Dense(units, kernel_initializer=keras.initializers.RandomNormal(stddev=1), **arguments))
    return keras.Sequential([keras.Input((4,)), *layers])


def logits_of(*teachers):
    return np.stack([teacher.predict(X, verbose=0) for teacher in teachers])


TEACHERS = [dense(), dense(), dense()]
LOGITS = logits_of(*TEACHERS)


def test_the_mean_of_logits_with_equal_and_with_given_weights():
    np.testing.assert_allclose(Ensemble(TEACHERS)(X), LOGITS.mean(0), rtol=1e-4, atol=1e-6)
    # weights are normalised
    expected = np.average(LOGITS, 0, [1, 0, 3])
    np.testing.assert_allclose(Ensemble(TEACHERS, weights=[1, 0, 3])(X), expected, rtol=1e-4, atol=1e-6)


def test_the_mean_of_probabilities_at_the_temperature():
    answer = np.array(Ensemble(TEACHERS, "probabilities", temperature=4.0)(X))
    np.testing.assert_allclose(special.softmax(answer / 4, -1), special.softmax(LOGITS / 4, -1).mean(0), rtol=1e-5)


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
def test_adaptive_weights_are_used_for_every_example(combine):
    for weights, expected in (("entropy", entropy_weights(LOGITS)), ("confidence", confidence_weights(LOGITS, Y))):
        answer = np.array(Ensemble(TEACHERS, combine, weights)(X, labels=Y))
        values = LOGITS if combine == "logits" else special.softmax(LOGITS, -1)
        answer = answer if combine == "logits" else np.exp(answer)
        np.testing.assert_allclose(answer, (np.array(expected)[..., None] * values).sum(0), rtol=1e-4, atol=1e-6)


def test_without_labels_confidence_weighs_equally():
    np.testing.assert_allclose(Ensemble(TEACHERS, weights="confidence")(X), LOGITS.mean(0), rtol=1e-4, atol=1e-6)


def test_one_teacher_is_an_ensemble_too():
    for combine in ("logits", "random"):
        np.testing.assert_allclose(Ensemble(TEACHERS[:1], combine)(X), LOGITS[0], rtol=1e-6)
    for weights in (None, "entropy", "confidence"):
        answer = Ensemble(TEACHERS[:1], "probabilities", weights, temperature=2.0)(X, labels=Y)
        np.testing.assert_allclose(
            special.softmax(np.array(answer) / 2, -1), special.softmax(LOGITS[0] / 2, -1), rtol=1e-5
        )


def test_teachers_may_answer_in_probabilities():
    teachers = [dense(activation="softmax"), dense(activation="softmax")]
    answer = np.array(Ensemble(teachers, "probabilities", from_logits=False)(X))
    np.testing.assert_allclose(special.softmax(answer, -1), logits_of(*teachers).mean(0), rtol=1e-4)


def test_a_flat_answer_is_one_logit_an_example():
    answer = Ensemble([lambda x: x[:, 0], lambda x: x[:, :1]])(tf.constant(X))
    np.testing.assert_allclose(answer, X[:, :1])


class TestARandomTeacherABatch:
    @staticmethod
    def shares(ensemble, call, draws):
        answers = [int(np.array(call(ensemble))[0, 0]) for _ in range(draws)]
        return np.bincount(answers, minlength=3) / draws

    @pytest.mark.parametrize("jit_compile", [None, False, True])
    def test_each_batch_draws_anew_with_the_given_probabilities(self, jit_compile):
        teachers = [lambda x, k=k: tf.fill([tf.shape(x)[0], 1], float(k)) for k in range(3)]
        ensemble = Ensemble(teachers, "random", weights=[1, 0, 3], seed=1)
        x = tf.constant(X)
        call = ensemble if jit_compile is None else tf.function(lambda x: ensemble(x), jit_compile=jit_compile)
        shares = self.shares(ensemble, lambda _: call(x), 300)
        # three standard deviations of a share of 300 draws
        np.testing.assert_allclose(shares, [0.25, 0.0, 0.75], atol=3 * np.sqrt(0.25 * 0.75 / 300))
        assert shares[1] == 0

    def test_one_batch_hears_one_teacher(self):
        ensemble = Ensemble(TEACHERS, "random", seed=0)
        heard = set()
        for _ in range(20):
            answer = np.array(ensemble(X))
            matches = [k for k in range(3) if np.allclose(answer, LOGITS[k], atol=1e-5)]
            assert len(matches) == 1
            heard.update(matches)
        assert heard == {0, 1, 2}

    def test_the_same_seed_draws_the_same(self):
        answers = [[float(np.array(e(X))[0, 0]) for _ in range(10)] for e in (
            Ensemble(TEACHERS, "random", seed=3), Ensemble(TEACHERS, "random", seed=3)
        )]  # fmt: skip
        assert answers[0] == answers[1]

    def test_only_the_drawn_teacher_runs(self):
        runs = []

        def teacher(k):
            def run(x):
                runs.append(k)
                return x[:, :1]

            return lambda x: tf.ensure_shape(tf.numpy_function(run, [x], tf.float32), [None, 1])

        ensemble = Ensemble([teacher(0), teacher(1)], "random", seed=0)
        step = tf.function(lambda x: ensemble(x))
        for _ in range(12):
            step(tf.constant(X))
        assert len(runs) == 12 and set(runs) == {0, 1}

    def test_training_draws_anew_for_every_batch(self):
        ensemble = Ensemble([lambda x: x[:, :1] * 0 - 1.0, lambda x: x[:, :1] * 0 + 1.0], "random", seed=0)
        student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        distiller = Distiller(
            ensemble, student, LogitsDistillation(1.0, loss="mse", task="binary"), student_loss_weight=0
        )
        distiller.compile(keras.optimizers.SGD(0.5))

        class Biases(keras.callbacks.Callback):
            seen = []

            def on_train_batch_end(self, batch, logs=None):
                self.seen.append(float(self.model.student.get_weights()[1][0]))

        distiller.fit(np.zeros((40, 4), "float32"), batch_size=2, verbose=0, callbacks=[Biases()])
        # the gradient of (b - z)² is 2 (b - z): every step sets the bias to what its teacher says
        assert set(np.round(Biases.seen, 5)) == {-1.0, 1.0}


def test_the_gradient_of_confidence_on_mixed_probabilities_is_that_of_ca_mkd():
    temperature = 4.0
    student = dense()
    kernel, bias = student.get_weights()
    ensemble = Ensemble(TEACHERS, "probabilities", "confidence", temperature)
    distiller = Distiller(ensemble, student, LogitsDistillation(temperature), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(1.0))
    distiller.train_on_batch(X, Y)

    # CA-MKD: Σ_k w_k T² KL(p_k^T, q^T) with w_k of the cross-entropy at temperature 1; its gradient in the student's
    # logits is T Σ_k w_k (q^T - p_k^T)
    errors = -special.log_softmax(LOGITS, -1)[:, np.arange(12), Y]
    weights = (1 - special.softmax(errors, 0)) / 2
    q = special.softmax((X @ kernel + bias) / temperature, -1)
    p = special.softmax(LOGITS / temperature, -1)
    gradient = temperature * (weights[..., None] * (q - p)).sum(0) / 12
    np.testing.assert_allclose(student.get_weights()[0], kernel - X.T @ gradient, atol=1e-5)
    np.testing.assert_allclose(student.get_weights()[1], bias - gradient.sum(0), atol=1e-5)


def test_teachers_get_the_inputs_that_they_declare():
    def on(*names):
        inputs = {name: keras.Input((1,), name=name) for name in names}
        total = keras.layers.Add()([*inputs.values(), *inputs.values()])
        return keras.Model(inputs, total)

    batch = {name: np.full((2, 1), value, "float32") for name, value in (("a", 1), ("b", 10), ("teacher_logits", 100))}
    ensemble = Ensemble([on("a"), on("a", "b"), CachedTeacher(), lambda inputs: inputs["b"]], weights=[1, 1, 1, 1])
    np.testing.assert_allclose(ensemble(batch), np.full((2, 1), (2 + 22 + 100 + 10) / 4))


def test_cached_columns_are_hidden_from_the_other_teachers():
    seen = []

    def live(inputs):
        seen.append(sorted(inputs))
        return inputs["a"]

    ensemble = Ensemble([CachedTeacher("one"), live, CachedTeacher("two", features=["hidden"])])
    assert ensemble.columns == ("one", "two", "teacher_hidden")
    ensemble({name: np.ones((2, 1), "float32") for name in ("a", *ensemble.columns)})
    assert seen == [["a"]]


def test_ensembles_nest_and_hand_on_labels_and_training():
    received = []

    def teacher(inputs, training=True, labels=None):
        received.append((training, labels))
        return inputs

    Ensemble([Ensemble([teacher]), teacher])(tf.constant(X), labels=Y)
    assert [training for training, _ in received] == [False, False]
    assert all(labels is Y for _, labels in received)


def test_a_call_trains_no_batch_normalisation():
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    before = teacher.get_weights()
    Ensemble([teacher, dense()])(X)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_xla_is_supported_where_all_teachers_do():
    assert Ensemble([dense(), CachedTeacher()]).supports_jit
    assert not Ensemble([dense(), lambda x: x]).supports_jit


class TestLayersOfItsTeachers:
    def test_a_layer_is_named_by_the_number_of_its_teacher(self):
        teachers = [dense(hidden=5), dense(hidden=6)]
        outputs = Ensemble(teachers).feature_outputs(X, ["1/hidden", "0/hidden"])
        np.testing.assert_allclose(outputs[None], logits_of(*teachers).mean(0), rtol=1e-4, atol=1e-6)
        for k, teacher in enumerate(teachers):
            kernel, bias = teacher.get_layer("hidden").get_weights()
            np.testing.assert_allclose(outputs[f"{k}/hidden"], X @ kernel + bias, rtol=1e-4, atol=1e-5)

    def test_a_layer_may_be_given_itself(self):
        teachers = [dense(hidden=5), dense(hidden=6)]
        layer = teachers[1].get_layer("hidden")
        outputs = Ensemble(teachers).feature_outputs(X, [layer])
        assert outputs[layer].shape == (12, 6)

    def test_every_teacher_runs_once(self):
        runs = []

        class Counted(keras.layers.Layer):
            def call(self, inputs):
                runs.append(self.name)
                return inputs

        def counted(name):
            return keras.Sequential([keras.Input((4,)), Counted(name=name), keras.layers.Dense(3, name="hidden")])

        ensemble = Ensemble([counted("a"), counted("b")], "random")
        runs.clear()
        ensemble.feature_outputs(X, ["0/hidden", "0/a", "1/hidden"])
        assert runs == ["a", "b"]

    def test_under_a_distiller(self):
        teachers = [dense(hidden=5), dense(hidden=6)]
        student = dense(hidden=6)
        losses = [LogitsDistillation(2.0), FeatureDistillation("mse", "1/hidden", "hidden")]
        distiller = Distiller(Ensemble(teachers), student, losses, [0.0, 1.0], student_loss_weight=0.0)
        distiller.compile(keras.optimizers.SGD(0.0))
        hidden = [X @ m.layers[0].get_weights()[0] + m.layers[0].get_weights()[1] for m in (teachers[1], student)]
        logs = distiller.train_on_batch(X, Y, return_dict=True)
        np.testing.assert_allclose(logs["distillation_loss"], np.mean((hidden[0] - hidden[1]) ** 2), rtol=1e-4)

    def test_a_random_ensemble_answers_as_one_of_them(self):
        ensemble = Ensemble(TEACHERS, "random", seed=0)
        name = TEACHERS[0].layers[0].name
        for _ in range(5):
            answer = np.array(ensemble.feature_outputs(X, [f"0/{name}"])[None])
            assert sum(np.allclose(answer, logits, atol=1e-5) for logits in LOGITS) == 1

    @pytest.mark.parametrize("name", ["hidden", "2/hidden", "-1/hidden", "1/", "x/hidden"])
    def test_a_name_without_a_teacher_is_refused(self, name):
        with pytest.raises(ValueError, match=f"'k/layer' with k from 0 to 1. Received: '{name}'"):
            Ensemble([dense(hidden=5), dense(hidden=5)]).feature_outputs(X, [name])

    def test_an_unknown_layer_names_the_near_ones(self):
        with pytest.raises(ValueError, match="no layer named 'hiden'.*'hidden'"):
            Ensemble([dense(hidden=5)]).feature_outputs(X, ["0/hiden"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"teachers": []}, "`teachers` must be a list of one teacher or more. Received: teachers=\\[\\]"),
        ({"teachers": dense}, "`teachers` must be a list"),
        ({"teachers": [None, dense]}, "`teachers` must be a list"),
        ({"teachers": [dense, 3]}, "`teacher` must be a keras.Model, a callable.*Received: teacher=3"),
        ({"combine": "median"}, "`combine` must be one of 'logits', 'probabilities', 'random'.*'median'"),
        ({"weights": [1.0]}, "`weights` must be None, 'entropy', 'confidence', or a number.*of the 2 teachers"),
        ({"weights": [1.0, -1.0]}, "`weights` must be None"),
        ({"weights": [0.0, 0.0]}, "`weights` must be None"),
        ({"weights": [1.0, float("nan")]}, "`weights` must be None"),
        ({"weights": 0.5}, "`weights` must be None"),
        ({"weights": "equal"}, "`weights` must be None.*Received: weights='equal'"),
        ({"weights": "entropy", "combine": "random"}, "`weights` must be numbers or None with combine='random'"),
        ({"temperature": 0}, "`temperature` must be a positive number. Received: temperature=0"),
        ({"task": "regression"}, "`task` must be one of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(**{"teachers": [dense, dense], **arguments})


def test_several_outputs_are_refused():
    for outputs, kind in (({"a": X, "b": X}, "dict of 2"), ([X, X, X], "list of 3")):
        with pytest.raises(ValueError, match=f"must have one output. Received: a {kind} from teacher 1"):
            Ensemble([lambda x: x, lambda x, outputs=outputs: outputs])(X)


def test_teachers_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"in one shape. Received: teacher 0 \(12, 3\), teacher 1 \(12, 4\)"):
        Ensemble([dense(3), dense(4)])(X)
