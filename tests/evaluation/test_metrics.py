import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tfdistill.errors import UserError
from tfdistill.evaluation import (
    accuracy_metrics,
    auc,
    class_accuracy,
    class_metrics,
    click_metrics,
    log_loss,
    probability_difference,
)


def draw(rows, steps=None, seed=0):
    """Labels, probabilities (in `steps` values, so that many tie) and users."""
    random = np.random.default_rng(seed)
    probability = random.random(rows)
    if steps:
        probability = np.round(probability * steps) / steps
    label = (random.random(rows) < 0.2 + 0.6 * probability).astype(np.float32)
    return label, probability.astype(np.float32), random.integers(0, rows // 10 + 1, rows)


@pytest.mark.parametrize("steps", [None, 256, 10, 1])
def test_auc_equals_scikit_learn_with_and_without_ties(steps):
    label, probability, _ = draw(5000, steps)
    assert auc(label, probability) == pytest.approx(sklearn_metrics.roc_auc_score(label, probability), abs=1e-12)


def test_auc_of_equal_scores_is_one_half():
    assert auc([0, 1, 1, 0, 1], [0.3] * 5) == 0.5


def test_auc_takes_any_scale_of_scores():
    label, probability, _ = draw(500)
    assert auc(label, 10 * probability - 3) == auc(label, probability)


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_refused(label):
    with pytest.raises(UserError, match=f"both classes; all 3 labels are {label}"):
        auc([label] * 3, [0.1, 0.2, 0.3])


def test_log_loss_equals_scikit_learn():
    label, probability, _ = draw(5000)
    expected = sklearn_metrics.log_loss(label, probability.astype(np.float64))
    assert log_loss(label, probability) == pytest.approx(expected, rel=1e-9)


def test_log_loss_of_a_sure_mistake_is_finite():
    assert log_loss([1], [0.0]) == pytest.approx(7 * np.log(10))
    assert log_loss([1, 0], [1.0, 0.0]) == pytest.approx(1e-7, rel=1e-3)


@pytest.mark.parametrize("steps", [None, 10])
def test_classification_metrics_equal_scikit_learn_at_one_half(steps):
    label, probability, _ = draw(5000, steps)
    predicted = probability >= 0.5
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(label, predicted, average="binary")
    found = accuracy_metrics(label, probability)
    assert found == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(label, predicted),
            "precision": precision,
            "recall": recall,
            "f1": f1,
        }
    )


def test_one_half_counts_as_positive():
    assert accuracy_metrics([1], [0.5])["accuracy"] == 1.0


def test_nothing_predicted_positive_gives_zeros():
    found = accuracy_metrics([1, 0, 1], [0.1, 0.2, 0.3])
    assert (found["precision"], found["recall"], found["f1"]) == (0.0, 0.0, 0.0)


def test_click_metrics_have_all_names_and_plain_floats():
    found = click_metrics(*draw(200), k=5)
    assert list(found) == ["auc", "log_loss", "accuracy", "precision", "recall", "f1", "ndcg@5"]
    assert {type(value) for value in found.values()} == {float}


def test_click_metrics_of_one_class_are_refused():
    with pytest.raises(UserError, match="both classes"):
        click_metrics([1, 1], [0.2, 0.3], [0, 0])


@pytest.mark.parametrize(
    ("label", "probability", "message"),
    [
        ([1, 0, 1], [0.1, 0.2], r"received \(3,\) and \(2,\)"),
        ([1, 2], [0.1, 0.2], "label: expected 0 and 1 only, received 2"),
        ([1, 0], [0.1, 1.2], "from 0 to 1, received 1.2"),
        ([1, 0], [0.1, float("nan")], "from 0 to 1, received nan"),
    ],
)
def test_values_that_make_no_sense_are_refused(label, probability, message):
    with pytest.raises(ValueError, match=message):
        click_metrics(label, probability, np.zeros(len(label)))


def test_the_difference_of_two_predictions_worked_by_hand():
    assert probability_difference([0.5, 0.25, 0.75], [0.5, 0.75, 0.5]) == {"max": 0.5, "mean": 0.25}
    with pytest.raises(ValueError, match="expected one value for each"):
        probability_difference([0.5, 0.25], [0.5])


CLASSES = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.4, 0.2], [0.0, 0.9, 0.1]]


def test_classes_are_counted_right_where_the_most_probable_one_is_the_label():
    # the first of two equally probable classes counts; the last row rules its label out, which costs -ln 1e-7
    found = class_metrics([0, 1, 0, 0], CLASSES)
    assert found["accuracy"] == 0.5
    expected = -(math.log(0.7) + math.log(0.3) + math.log(0.4) + math.log(1e-7)) / 4
    assert found["log_loss"] == pytest.approx(expected)
    assert {type(value) for value in found.values()} == {float}


def test_the_accuracy_of_logits_is_that_of_their_probabilities():
    logits = np.random.default_rng(3).normal(size=(50, 4)) * 20
    label = np.random.default_rng(4).integers(0, 4, 50)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    assert class_accuracy(label, logits) == class_metrics(label, powers / powers.sum(1, keepdims=True))["accuracy"]


@pytest.mark.parametrize(
    ("label", "probability", "message"),
    [
        ([0, 1], CLASSES, r"received \(2,\) and \(4, 3\)"),
        ([0, 1], [0.1, 0.2], r"expected shapes \(n,\) and \(n, classes\)"),
        ([0, 3, 0, 0], CLASSES, "label: expected whole numbers from 0 to 2"),
        ([0, -1, 0, 0], CLASSES, "label: expected whole numbers from 0 to 2"),
        ([0.0, 1.0, 0.0, 0.0], CLASSES, "label: expected whole numbers from 0 to 2, received float64"),
        ([0], [[0.2, 1.2]], "from 0 to 1, received 1.2"),
    ],
)
def test_classes_that_make_no_sense_are_refused(label, probability, message):
    with pytest.raises(ValueError, match=message):
        class_metrics(label, probability)
