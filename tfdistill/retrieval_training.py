"""Training a retrieval model the way every stage of a recipe does: seeded epochs, validation now and then, the best kept."""

import time

import keras
import numpy as np

from tfdistill._execution import execution
from tfdistill._replicas import replicas
from tfdistill._retrieval_windows import windows_of
from tfdistill._training_state import TrainingState
from tfdistill.distribution.batches import check_divides
from tfdistill.errors import UserError
from tfdistill.training import make_optimizer

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
    state=None,
):
    """Trains the student of a `RetrievalDistiller` and leaves it with the weights of the best epoch, or of the last.

    Args:
        distiller: a `tfdistill.RetrievalDistiller`, not yet compiled.
        dataset: `ImplicitDataset`.
        settings: `epochs`, `batch_size`, `negatives`, `negatives_from` ("uniform", "popularity" or "teacher", of its
            rankings), `evaluate_every`, `patience` (epochs without a better look, or `None`), `keep` ("best" or "last"),
            and what `tfdistill.training.make_optimizer` reads.
        seed: fixes the order of pairs, negatives and candidates.
        score: () -> what the best epoch is chosen by, of the student as it stands; more is better.
        metric: what `score` is called.
        rankings, item_rankings: the teacher's, for losses that draw candidates from them, and for negatives.
        on_progress: called as (examples done, examples in all) while it runs.
        state: the path of an .npz file that keeps what the training has so far; see `tfdistill.training.train`.

    Raises:
        UserError: a batch does not divide by the replicas, or the loss is no longer a number.

    Returns: one record an epoch: epoch, loss, seconds, examples_per_second, and validation_METRIC of those that were looked
    at; seconds are those of training alone, examples pairs, or items predicted from histories.
    """
    windows = windows_of(distiller.student, dataset)
    rows = len(dataset.pairs["train"] if windows is None else windows["user"])
    examples = rows if windows is None else int(np.count_nonzero(windows["target"]))
    check_divides(settings.batch_size, replicas())
    parts = (distiller.student, *distiller.distillation_losses)
    with_xla = not any(getattr(part, "is_faster_without_xla", False) for part in parts)
    steps = -(-rows // settings.batch_size)
    optimizer = make_optimizer(settings, settings.epochs * steps, distiller, epsilon=EPSILON)
    distiller.compile(optimizer, **execution(settings, steps, auto=with_xla))
    kept = TrainingState(state, distiller)
    watch = _Watch(examples, settings, score, metric, on_progress, kept)
    if kept.exists():
        distiller.optimizer.build(distiller.trainable_variables)
        watch.go_on(*kept.read())
    distiller.fit_retrieval(
        dataset,
        initial_epoch=len(watch.records),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        negatives=settings.negatives,
        negatives_from=_negatives_from(dataset, settings, rankings),
        rankings=rankings,
        item_rankings=item_rankings,
        seed=seed,
        verbose=0,
        callbacks=[watch],
    )
    if watch.best_weights is not None:
        distiller.student.set_weights(watch.best_weights)
    return watch.records


def _negatives_from(dataset, settings, rankings):
    from tfdistill.data import ListedNegatives, PopularityNegatives, UniformNegatives

    if settings.negatives_from == "teacher":
        return ListedNegatives(dataset, rankings.items)
    return {"uniform": UniformNegatives, "popularity": PopularityNegatives}[settings.negatives_from](dataset)


class _Watch(keras.callbacks.Callback):
    """Times epochs, looks at the validation part, keeps the best weights, tells how far it is."""

    def __init__(self, examples, settings, score, metric, tell, kept):
        super().__init__()
        self.kept = kept
        self.examples, self.settings = examples, settings
        self.score, self.metric, self.tell = score, metric, tell
        self.records, self.best, self.best_epoch, self.best_weights = [], -np.inf, 0, None

    def go_on(self, progress, best_weights):
        """Takes up what a training that was stopped has kept."""
        self.records, self.best, self.best_epoch = (progress[name] for name in ("records", "best", "best_epoch"))
        self.best_weights = best_weights

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self.tell is not None and self.params["steps"]:
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
            workers = self.kept.workers
            quality = record[f"validation_{self.metric}"] = workers.from_chief(
                self.score() if workers.is_chief else 0.0
            )[0]
            if quality > self.best:
                self.best, self.best_epoch = quality, number
                if settings.keep == "best":
                    self.best_weights = self.model.student.get_weights()
            elif settings.patience is not None and number - self.best_epoch >= settings.patience:
                self.model.stop_training = True
        self.records.append(record)
        if number < settings.epochs and not self.model.stop_training:
            progress = {"records": self.records, "best": self.best, "best_epoch": self.best_epoch}
            self.kept.write(progress, self.best_weights)
