"""How much each teacher counts, against formulas written down again in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfdistill.teachers import confidence_weights, entropy_weights

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(3, 5, 4)) * 3  # teachers, examples, classes
LABELS = np.array([0, 3, 1, 2, 0])


def lacking(badness):
    """(1 - share) / (K - 1) of what adds up to 1 over the teachers."""
    return (1 - badness) / (len(badness) - 1)


def test_entropy_weights_are_those_of_scipys_entropies():
    entropies = np.array([[stats.entropy(special.softmax(row)) for row in teacher] for teacher in LOGITS])
    weights = entropy_weights(LOGITS)
    np.testing.assert_allclose(weights, lacking(entropies / entropies.sum(0)), rtol=1e-5)
    np.testing.assert_allclose(np.sum(weights, 0), np.ones(5), rtol=1e-6)


def test_entropies_of_several_labels_are_added():
    entropies = np.array([[sum(stats.entropy([p, 1 - p]) for p in special.expit(row)) for row in t] for t in LOGITS])
    weights = entropy_weights(LOGITS, task="binary")
    np.testing.assert_allclose(weights, lacking(entropies / entropies.sum(0)), rtol=1e-5)


def test_entropy_weights_worked_by_hand():
    # entropies log 2 and log 4: shares 1/3 and 2/3
    logits = np.array([[[0.0, 0.0, -np.inf, -np.inf]], [[0.0, 0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(entropy_weights(logits), [[2 / 3], [1 / 3]], rtol=1e-6)


@pytest.mark.parametrize("task, classes", [("categorical", 3), ("binary", 1)])
def test_teachers_that_are_all_certain_count_equally(task, classes):
    logits = np.full((4, 2, classes), -200.0)
    logits[:, :, 0] = 200.0
    np.testing.assert_array_equal(entropy_weights(logits, task), np.full((4, 2), 0.25))


def test_the_teacher_that_knows_nothing_loses_its_weight_to_the_sure_ones():
    logits = np.array([[[50.0, -50.0]], [[-50.0, 50.0]], [[0.0, 0.0]]])
    np.testing.assert_allclose(entropy_weights(logits), [[0.5], [0.5], [0.0]], atol=1e-6)


def categorical_errors(labels=LABELS):
    return -special.log_softmax(LOGITS, -1)[:, np.arange(5), labels]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS[:, None],
        LABELS.astype("float32"),
        LABELS.astype("uint8"),
        np.eye(4)[LABELS],
        np.eye(4, dtype="int32")[LABELS],
    ],
)
def test_confidence_weights_are_those_of_ca_mkd(labels):
    weights = confidence_weights(LOGITS, labels)
    np.testing.assert_allclose(weights, lacking(special.softmax(categorical_errors(), 0)), rtol=1e-5)
    np.testing.assert_allclose(np.sum(weights, 0), np.ones(5), rtol=1e-6)


def test_confidence_takes_soft_labels():
    labels = special.softmax(GENERATOR.normal(size=(5, 4)), -1)
    errors = -(labels * special.log_softmax(LOGITS, -1)).sum(-1)
    np.testing.assert_allclose(confidence_weights(LOGITS, labels), lacking(special.softmax(errors, 0)), rtol=1e-5)


@pytest.mark.parametrize("form", [lambda y: y, lambda y: y[:, None], lambda y: y.astype(int), lambda y: y > 0.5])
def test_confidence_of_one_logit(form):
    labels = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    z = LOGITS[..., :1]
    errors = np.where(labels[:, None] == 1, np.logaddexp(0, -z), np.logaddexp(0, z))[..., 0]
    np.testing.assert_allclose(confidence_weights(z, form(labels)), lacking(special.softmax(errors, 0)), rtol=1e-5)


def test_confidence_of_several_labels_takes_their_mean_error():
    labels = GENERATOR.uniform(size=(5, 4))
    errors = (labels * np.logaddexp(0, -LOGITS) + (1 - labels) * np.logaddexp(0, LOGITS)).mean(-1)
    weights = confidence_weights(LOGITS, labels, task="binary")
    np.testing.assert_allclose(weights, lacking(special.softmax(errors, 0)), rtol=1e-5)


def test_every_time_step_has_weights_of_its_own():
    logits, labels = LOGITS.reshape(3, 1, 5, 4), LABELS[None]
    for given in (labels, labels[..., None]):
        weights = confidence_weights(logits, given)
        np.testing.assert_allclose(weights[:, 0], confidence_weights(LOGITS, LABELS), rtol=1e-6)
    np.testing.assert_allclose(entropy_weights(logits)[:, 0], entropy_weights(LOGITS), rtol=1e-6)


def test_rows_without_a_usable_label_count_all_teachers_equally():
    labels = np.array([np.nan, -1.0, 4.0, 1.5, 2.0])
    weights = confidence_weights(LOGITS, labels)
    np.testing.assert_allclose(weights[:, :4], np.full((3, 4), 1 / 3), rtol=1e-6)
    np.testing.assert_allclose(
        weights[:, 4:], lacking(special.softmax(categorical_errors(np.full(5, 2)), 0))[:, 4:], rtol=1e-5
    )
    np.testing.assert_allclose(confidence_weights(LOGITS, None), np.full((3, 5), 1 / 3), rtol=1e-6)
    np.testing.assert_allclose(confidence_weights(LOGITS, np.array([-1, 4, 99, -7, 2]))[:, :4], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(confidence_weights(LOGITS[..., :1], np.array([-1, 2, np.nan, 9, 7])), 1 / 3, rtol=1e-6)
    distributions = np.array([[np.nan] * 4, [-1.0] * 4, [0.0] * 4, [2.0] * 4, [0.25] * 4])
    np.testing.assert_allclose(confidence_weights(LOGITS, distributions)[:, :4], 1 / 3, rtol=1e-6)


def test_extreme_logits_give_finite_weights():
    logits = np.array([[[50.0, -50.0]], [[-50.0, 50.0]], [[0.0, -np.inf]]])
    for label in (0, 1):
        weights = confidence_weights(logits, np.array([label]))
        assert np.isfinite(weights).all()
        np.testing.assert_allclose(np.sum(weights, 0), 1, rtol=1e-6)
    # the label is ruled out by the last teacher and by the first
    np.testing.assert_allclose(weights, [[0.5], [0.5], [0.0]], atol=1e-6)
    one_is_certain = np.array([[[-np.inf]], [[0.0]]])  # errors (inf, log 2) of label 1, (0, log 2) of label 0
    np.testing.assert_array_equal(confidence_weights(one_is_certain, np.array([1])), [[0.0], [1.0]])
    np.testing.assert_allclose(confidence_weights(one_is_certain, np.array([0])), [[2 / 3], [1 / 3]], rtol=1e-6)


def test_a_single_teacher_has_all_the_weight():
    np.testing.assert_array_equal(entropy_weights(LOGITS[:1]), np.ones((1, 5)))
    for labels in (LABELS, None, np.full(5, -1)):
        np.testing.assert_array_equal(confidence_weights(LOGITS[:1], labels), np.ones((1, 5)))


def test_an_unknown_batch_size_will_do():
    @tf.function(input_signature=[tf.TensorSpec([3, None, 4]), tf.TensorSpec([None], tf.int32)], jit_compile=True)
    def both(logits, labels):
        return entropy_weights(logits), confidence_weights(logits, labels)

    entropy, confidence = both(LOGITS.astype("float32"), LABELS.astype("int32"))
    np.testing.assert_allclose(entropy, entropy_weights(LOGITS), rtol=1e-5)
    np.testing.assert_allclose(confidence, confidence_weights(LOGITS, LABELS), rtol=1e-5)


def test_half_precision_is_computed_in_float32():
    half = keras.ops.cast(LOGITS, "float16")
    weights = confidence_weights(half, LABELS)
    assert weights.dtype == tf.float32
    np.testing.assert_allclose(weights, confidence_weights(keras.ops.cast(half, "float32"), LABELS), rtol=1e-6)


@pytest.mark.parametrize(
    "logits, labels",
    [(LOGITS, np.zeros((5, 3))), (LOGITS, np.zeros((5, 4, 1))), (LOGITS[..., :1], np.zeros((5, 2)))],
)
def test_labels_of_another_shape_are_refused_with_both_shapes(logits, labels):
    with pytest.raises(ValueError, match=r"`labels` of shape \(5, .*do not suit logits of shape \(5,"):
        confidence_weights(logits, labels)
