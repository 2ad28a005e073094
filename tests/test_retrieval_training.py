"""Training with looks at the validation part: which epoch is kept, when it ends."""

import keras
import numpy as np
import pytest

from tfdistill import RetrievalDistiller
from tfdistill.data import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.models import bpr_mf
from tfdistill.recipes.schema_retrieval import RetrievalTraining
from tfdistill.retrieval_training import train_retrieval

DATA = ImplicitDataset(4, 6, {"train": [[u, i] for u in range(4) for i in (u, u + 1)], "validation": [], "test": []})


def settings(**changes):
    plain = RetrievalTraining(epochs=6, batch_size=4, learning_rate=0.1, evaluate_every=2)
    return plain.model_copy(update=changes)


def trained(looks, **changes):
    """(records, weights at every look, weights in the end) of a training whose looks find these qualities."""
    keras.utils.set_random_seed(0)
    student = bpr_mf(4, 6, 2)
    seen, found = [], iter(looks)

    def score():
        seen.append(student.get_weights()[0].copy())
        return next(found)

    distiller = RetrievalDistiller(None, student)
    records = train_retrieval(distiller, DATA, settings(**changes), seed=1, score=score, metric="recall@5")
    return records, seen, student.get_weights()[0]


def test_the_weights_of_the_best_look_are_kept():
    records, seen, last = trained([0.1, 0.3, 0.2])
    assert [record.get("validation_recall@5") for record in records] == [None, 0.1, None, 0.3, None, 0.2]
    np.testing.assert_array_equal(last, seen[1])
    assert np.abs(seen[2] - seen[1]).max() > 0


def test_the_last_epoch_is_kept_where_that_is_asked_for():
    _, seen, last = trained([0.1, 0.3, 0.2], keep="last")
    np.testing.assert_array_equal(last, seen[2])


def test_training_ends_after_as_many_epochs_without_a_better_look_as_patience_allows():
    records, seen, last = trained([0.3, 0.1, 0.2, 0.1], epochs=20, patience=4)
    assert len(records) == 6  # the best at 2; at 4 two epochs have passed, at 6 four
    np.testing.assert_array_equal(last, seen[0])


def test_a_loss_that_is_no_number_is_told_with_the_learning_rate():
    with pytest.raises(UserError, match="learning_rate: training diverged in epoch 1"):
        trained([0.1], learning_rate=float("inf"))
