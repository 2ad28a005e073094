"""Quality of predicted probabilities, of clicks and of classes: how they rank, how sure they are, how they classify."""

import numpy as np

from tfdistill.errors import UserError
from tfdistill.evaluation.ndcg import ndcg_at_k

PROBABILITY_FLOOR = 1e-7


def click_metrics(label, probability, user, k=10):
    """All metrics of a click model on one set of rows.

    Args:
        label: [n], 0 or 1.
        probability: float [n], predicted probability of 1.
        user: int [n], who the row belongs to; for ndcg.
        k: length of the list that ndcg looks at.

    Returns: {"auc", "log_loss", "accuracy", "precision", "recall", "f1", "ndcg@k"} -> float; "ndcg@k" is None where no
        user has both a positive and a negative row, since no order is then better than another.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, a probability is not a number from 0 to 1.
        UserError: all labels are the same.

    >>> click_metrics([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6], user=[7, 7, 8, 8], k=2)["auc"]
    0.75
    """
    label, probability = _checked(label, probability)
    return {
        "auc": auc(label, probability),
        "log_loss": log_loss(label, probability),
        **accuracy_metrics(label, probability),
        f"ndcg@{k}": ndcg_at_k(label, probability, user, k),
    }


def class_metrics(label, probability):
    """All metrics of a classifier on one set of rows.

    accuracy: share of rows whose most probable class is the label, the first of equally probable ones.
    log_loss: -mean ln p(label) in nats, with probabilities kept 1e-7 away from 0, as in `log_loss`.

    Args:
        label: int [n], the class, from 0.
        probability: float [n, classes].

    Returns: {"accuracy", "log_loss"} -> float.

    Raises:
        ValueError: lengths differ, a label is no class, a probability is not a number from 0 to 1.

    >>> class_metrics([1, 0], [[0.1, 0.9], [0.2, 0.8]])["accuracy"]
    0.5
    """
    label, probability = np.asarray(label), np.asarray(probability, np.float64)
    if probability.ndim != 2 or label.shape != probability.shape[:1] or not len(label):
        raise ValueError(
            "label and probability: expected shapes (n,) and (n, classes), received"
            f" {label.shape} and {probability.shape}."
        )
    classes = probability.shape[1]
    if label.dtype.kind not in "iu" or label.min() < 0 or label.max() >= classes:
        raise ValueError(f"label: expected whole numbers from 0 to {classes - 1}, received {label.dtype} {label[:5]}.")
    _check_range(probability)
    told = np.clip(probability[np.arange(len(label)), label], PROBABILITY_FLOOR, None)
    return {"accuracy": class_accuracy(label, probability), "log_loss": float(-np.log(told).mean())}


def class_accuracy(label, score):
    """Share of rows whose highest score, of probabilities or logits [n, classes], is that of the label [n].

    >>> class_accuracy([1, 0], [[-2.0, 3.0], [0.5, 0.1]])
    1.0
    """
    return float((np.argmax(score, axis=1) == np.asarray(label)).mean())


def auc(label, score):
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties counting half.

    (sum of the positives' ranks - p (p + 1) / 2) / (p q) for p positives, q negatives; tied rows share their mean rank.

    Args:
        label: [n], 0 or 1.
        score: float [n], any increasing function of the probability.

    Raises:
        UserError: all labels are the same.

    >>> auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8])  # pairs: 1, 1, 1/2, 1
    0.875
    """
    positive = np.asarray(label) > 0.5
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        raise UserError(
            f"AUC needs rows of both classes; all {len(positive)} labels are {int(positives > 0)}. Take more rows, or"
            " another split."
        )
    _, group, count = np.unique(np.asarray(score), return_inverse=True, return_counts=True)
    last_rank = np.cumsum(count)
    mean_rank = last_rank - (count - 1) / 2
    rank_sum = float(mean_rank[group[positive]].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def log_loss(label, probability):
    """Mean negative log-likelihood in nats: -mean(y ln p + (1 - y) ln(1 - p)).

    Probabilities are kept 1e-7 away from 0 and 1, so that one sure mistake costs 16.1 instead of infinity.

    >>> round(log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    """
    p = np.clip(np.asarray(probability, np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return float(-np.log(np.where(np.asarray(label) > 0.5, p, 1 - p)).mean())


def accuracy_metrics(label, probability, threshold=0.5):
    """Accuracy, precision, recall and F1 of the class 1, predicted where the probability is at least `threshold`.

    Precision is 0 where nothing is predicted positive, recall where nothing is positive, F1 where both are 0.

    >>> accuracy_metrics([1, 1, 0, 0], [0.9, 0.5, 0.7, 0.1])["recall"]
    1.0
    """
    positive = np.asarray(label) > 0.5
    predicted = np.asarray(probability) >= threshold
    hits = int((positive & predicted).sum())
    precision = hits / max(int(predicted.sum()), 1)
    recall = hits / max(int(positive.sum()), 1)
    return {
        "accuracy": float((positive == predicted).mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
    }


def _checked(label, probability):
    label, probability = np.asarray(label), np.asarray(probability)
    if label.ndim != 1 or label.shape != probability.shape or not len(label):
        raise ValueError(
            f"label and probability: expected the same shape (n,), received {label.shape} and {probability.shape}."
        )
    if not np.isin(label, (0, 1)).all():
        raise ValueError(f"label: expected 0 and 1 only, received {label[~np.isin(label, (0, 1))][0]}.")
    _check_range(probability)
    return label, probability


def _check_range(probability):
    outside = ~((probability >= 0) & (probability <= 1))
    if outside.any():
        raise ValueError(f"probability: expected numbers from 0 to 1, received {probability[outside][0]}.")
