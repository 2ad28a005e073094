"""Training as the stages do it: the best epoch is kept, the schedule ends at zero, seeds fix everything."""

import keras
import numpy as np
import pytest

from tfdistill import optimizers
from tfdistill.data import Field
from tfdistill.errors import UserError
from tfdistill.models import build
from tfdistill.models.exposure import with_exposure_head
from tfdistill.recipes.schema_steps import Steps
from tfdistill.training import make_optimizer, predict_logits, train

FIELDS = (Field("user", "categorical", "user", 20), Field("item", "categorical", "item", 10))
SETTINGS = Steps(epochs=3, batch_size=32, learning_rate=0.01)


def columns(rows=320):
    random = np.random.default_rng(0)
    x = {"user": random.integers(1, 20, rows).astype(np.int32), "item": random.integers(1, 10, rows).astype(np.int32)}
    return x, ((x["user"] + x["item"]) % 2).astype(np.float32)[:, None]


def trained(scores, seed=1):
    keras.utils.set_random_seed(7)
    model = build("mlp", FIELDS, embedding_width=2, hidden_units=(4,))
    weights = []

    def score():
        weights.append(model.get_weights())
        return scores[len(weights) - 1]

    records = train(model, lambda epoch: columns(), SETTINGS, seed=seed, rows_per_epoch=320, score=score)
    return model, records, weights


def test_the_weights_of_the_best_epoch_are_kept():
    model, records, weights = trained([0.6, 0.8, 0.7])
    assert [record["validation_auc"] for record in records] == [0.6, 0.8, 0.7]
    for kept, best in zip(model.get_weights(), weights[1], strict=True):
        np.testing.assert_array_equal(kept, best)


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    first, second, other = (trained([0.5, 0.6, 0.7], seed=seed)[0].get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0


def test_the_cosine_schedule_starts_at_the_rate_and_ends_at_zero():
    optimizer = make_optimizer(SETTINGS, 100, model=None)
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(50)) == pytest.approx(0.005)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "kind, expected", [("adam", "Adam"), ("adagrad", "Adagrad"), ("row_wise_adagrad", "RowWiseAdagrad")]
)
def test_recipes_train_with_row_sparse_optimizers(kind, expected):
    model = build("mlp", FIELDS, embedding_width=2, hidden_units=(4,))
    settings = Steps(optimizer=kind, lazy=False, weight_decay=0.25)
    optimizer = make_optimizer(settings, 1, model)
    assert type(optimizer) is getattr(optimizers, expected)
    assert (optimizer.lazy, optimizer.weight_decay) == (False, 0.25)


def test_row_wise_adagrad_is_refused_for_a_model_without_tables():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(UserError, match="^optimizer: row_wise_adagrad is for models with embedding tables"):
        make_optimizer(Steps(optimizer="row_wise_adagrad"), 1, model)


def test_progress_counts_the_examples_of_the_whole_training():
    told = []
    model = build("mlp", FIELDS, embedding_width=2, hidden_units=(4,))
    train(
        model,
        lambda epoch: columns(),
        SETTINGS,
        seed=1,
        rows_per_epoch=320,
        score=lambda: 0.5,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (960, 960)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_predictions_do_not_depend_on_the_batch_size():
    model = build("mlp", FIELDS, embedding_width=2, hidden_units=(4,))
    x, _ = columns(100)
    np.testing.assert_allclose(predict_logits(model, x, 7), predict_logits(model, x, 100), atol=1e-6)


def test_the_exposure_head_shares_the_rankers_weights_and_leaves_its_logits_alone():
    ranker = build("dcn_v2", FIELDS, embedding_width=2, cross_layers=1, hidden_units=(4,))
    x, _ = columns(5)
    model = with_exposure_head(ranker)
    logits, exposure = model(x)
    np.testing.assert_array_equal(logits, ranker(x))
    assert exposure.shape == (5, 1)
    assert len(model.trainable_variables) == len(ranker.trainable_variables) + 2


def refused(**changes):
    settings = SETTINGS.model_copy(update=changes)
    model = build("mlp", FIELDS, embedding_width=2, hidden_units=(4,))
    with pytest.raises(UserError) as caught:
        train(model, lambda epoch: columns(), settings, seed=1, rows_per_epoch=320, score=lambda: 0.5)
    return str(caught.value)


def test_a_batch_larger_than_the_data_is_refused_by_name():
    assert refused(batch_size=2048).startswith("batch_size: expected at most the 320 rows of an epoch, received 2,048.")


def test_a_training_that_diverges_says_so_and_names_the_learning_rate():
    assert refused(learning_rate=1e30).startswith("learning_rate: training diverged in epoch 1")
