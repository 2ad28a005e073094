"""A training that is stopped and started again ends with the weights of one that was not."""

import keras
import numpy as np
import pytest

from tfdistill import Distiller, RetrievalDistiller, TeacherVectors, losses, models, schedules
from tfdistill._training_state import TrainingState
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.recipes.schema_models import Training
from tfdistill.recipes.schema_retrieval import RetrievalTraining
from tfdistill.retrieval_training import train_retrieval
from tfdistill.training import train

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
FOUR_EPOCHS = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05}


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setenv("TFDISTILL_CHECKPOINT_SECONDS", "0")


def scores(stop_at):
    """What an epoch is worth, the second most; KeyboardInterrupt when the epoch with this number is asked for."""
    given = iter([1.0, 3.0, 2.0, 2.5])
    asked = []

    def score():
        asked.append(1)
        if len(asked) == stop_at:
            raise KeyboardInterrupt
        return next(given)

    return score


def distil(state):
    """Dropout, a projector that is made in the first step, and a weight that counts steps."""
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,)), keras.layers.Dense(6, "relu", name="hidden"), keras.layers.Dropout(0.3)]
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(9, name="hidden"), keras.layers.Dense(1)])
    student = keras.Sequential([*layers, keras.layers.Dense(1)])
    hint = losses.HintDistillation("hidden", "hidden")
    distiller = Distiller(teacher, student, [losses.LogitsDistillation(), hint], [schedules.FadingWeight(5), 1.0])
    columns = ({"x": X}, Y)
    return distiller, lambda score: train(
        distiller,
        lambda epoch: columns,
        Training(**FOUR_EPOCHS),
        seed=3,
        rows_per_epoch=len(X),
        score=score,
        transform=lambda x: x["x"],
        state=state,
    )


def retrieve(state):
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    teacher = TeacherVectors(*(random.normal(size=(rows, 6)).astype("float32") for rows in (7, 9)))
    pairs = [[user, item] for user in range(7) for item in range(9) if (user * 5 + item * 3) % 4 == 0]
    data = ImplicitDataset(7, 9, {"train": pairs, "validation": [], "test": [[0, 1]]})
    distiller = RetrievalDistiller(teacher, models.bpr_mf(7, 9, 4), losses.EmbeddingDistillation())
    settings = RetrievalTraining(**FOUR_EPOCHS, evaluate_every=1)
    return distiller, lambda score: train_retrieval(
        distiller, data, settings, seed=3, score=score, metric="ndcg@5", state=state
    )


@pytest.mark.parametrize("make", [distil, retrieve])
def test_a_training_that_is_stopped_goes_on_to_the_same_weights_and_records(make, tmp_path):
    undisturbed, run = make(None)
    expected = run(scores(None))
    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        make(state)[1](scores(stop_at=3))
    assert state.exists()
    resumed, run = make(state)
    given = iter([2.0, 2.5])  # the last two epochs: the best is one of those before the stop
    records = run(lambda: next(given))
    for ours, theirs in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    timed = ("seconds", "examples_per_second")
    assert [{key: one[key] for key in one if key not in timed} for one in records] == [
        {key: one[key] for key in one if key not in timed} for one in expected
    ]


def test_a_state_is_written_no_more_often_than_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDISTILL_CHECKPOINT_SECONDS", "1000")
    distil(tmp_path / "state.npz")[1](scores(None))
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TFDISTILL_CHECKPOINT_SECONDS", "often")
    with pytest.raises(UserError, match="TFDISTILL_CHECKPOINT_SECONDS: expected a number of seconds, received 'often'"):
        TrainingState(None, None)
