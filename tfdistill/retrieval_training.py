"""Training a retrieval model the way every stage of a recipe does: seeded epochs, validation now and then, the best kept."""

import time

import keras
import numpy as np

from tfdistill._retrieval_windows import windows_of
from tfdistill.errors import UserError

EPSILON = 1e-8  # PyTorch's, with which the published numbers were made


def train_retrieval(
    distiller,
    dataset,
    settings,
    *,
    seed,
    score,
    metric,
    rankings=None,
    item_rankings=None,
    on_progress=None,
):
    """Trains the student of a `RetrievalDistiller` and leaves it with the weights of the best epoch, or of the last.

    Args:
        distiller: a `tfdistill.RetrievalDistiller`, not yet compiled.
        dataset: `ImplicitDataset`.
        settings: `epochs`, `batch_size`, `learning_rate`, `negatives`, `negatives_from` ("uniform" or "popularity"),
            `evaluate_every`, `patience` (epochs without a better look, or `None`) and `keep` ("best" or "last").
        seed: fixes the order of pairs, negatives and candidates.
        score: () -> what the best epoch is chosen by, of the student as it stands; more is better.
        metric: what `score` is called.
        rankings, item_rankings: the teacher's, for losses that draw candidates from them.
        on_progress: called as (examples done, examples in all) while it runs.

    Raises:
        UserError: the loss is no longer a number.

    Returns: one record an epoch: epoch, loss, seconds, examples_per_second, and validation_METRIC of those that were looked
    at; seconds are those of training alone, examples pairs, or items predicted from histories.
    """
    watch = _Watch(_examples(distiller.student, dataset), settings, score, metric, on_progress)
    parts = (distiller.student, *distiller.distillation_losses)
    with_xla = not any(getattr(part, "is_faster_without_xla", False) for part in parts)
    # XLA refuses the running sums of ranking losses for batches of unknown size, as Keras makes them.
    with_xla = with_xla and not any(hasattr(loss, "draw") for loss in distiller.distillation_losses)
    distiller.compile(keras.optimizers.Adam(settings.learning_rate, epsilon=EPSILON), jit_compile=with_xla)
    distiller.fit_retrieval(
        dataset,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        negatives=_negatives(dataset, settings),
        rankings=rankings,
        item_rankings=item_rankings,
        seed=seed,
        verbose=0,
        callbacks=[watch],
    )
    if watch.best_weights is not None:
        distiller.student.set_weights(watch.best_weights)
    return watch.records


def _examples(student, dataset):
    """How many an epoch has."""
    windows = windows_of(student, dataset)
    return len(dataset.pairs["train"]) if windows is None else int(np.count_nonzero(windows["target"]))


def _negatives(dataset, settings):
    if settings.negatives_from == "uniform":
        return settings.negatives
    from tfdistill.data import PopularityNegatives

    return PopularityNegatives(dataset)


class _Watch(keras.callbacks.Callback):
    """Times epochs, looks at the validation part, keeps the best weights, tells how far it is."""

    def __init__(self, examples, settings, score, metric, tell):
        super().__init__()
        self.examples, self.settings = examples, settings
        self.score, self.metric, self.tell = score, metric, tell
        self.records, self.best, self.best_epoch, self.best_weights = [], -np.inf, 0, None

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self.tell is not None:
            done = len(self.records) + (batch + 1) / self.params["steps"]
            self.tell(round(done * self.examples), self.settings.epochs * self.examples)

    def on_epoch_end(self, epoch, logs=None):
        seconds, number, settings = time.perf_counter() - self.started, epoch + 1, self.settings
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise UserError(
                f"learning_rate: training diverged in epoch {number}, the loss is {loss}. Set a smaller `train.learning_rate` "
                f"for this model; it is {settings.learning_rate:g}."
            )
        record = {"epoch": number, "loss": loss, "seconds": seconds, "examples_per_second": self.examples / seconds}
        if number % settings.evaluate_every == 0 or number == settings.epochs:
            quality = record[f"validation_{self.metric}"] = float(self.score())
            if quality > self.best:
                self.best, self.best_epoch = quality, number
                if settings.keep == "best":
                    self.best_weights = self.model.student.get_weights()
            elif settings.patience is not None and number - self.best_epoch >= settings.patience:
                self.model.stop_training = True
        self.records.append(record)
