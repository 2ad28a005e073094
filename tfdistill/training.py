"""Training a model the way every stage of a recipe does: seeded epochs, scored on validation, the best epoch kept."""

import time

import keras
import numpy as np
import tensorflow as tf

from tfdistill import optimizers
from tfdistill._execution import execution
from tfdistill._training_state import TrainingState
from tfdistill.distribution import distribute, fit_over_replicas
from tfdistill.errors import UserError
from tfdistill.precision import with_loss_scaling


def make_optimizer(settings, steps, model, **arguments):
    """The row-sparse optimizer that a recipe asks for, with its schedule over `steps` updates.

    Args:
        settings: has `optimizer` ("adam", "adagrad" or "row_wise_adagrad"), `lazy`, `weight_decay` (decoupled, 0 for none)
            and what `learning_rate` reads.
        steps: number of updates in the whole training.
        model: what is to be trained.
        **arguments: others of the optimizer, where it is Adam.

    Raises:
        UserError: for row_wise_adagrad and a model without tables.
    """
    common = {"weight_decay": settings.weight_decay or None, "lazy": settings.lazy}
    if settings.optimizer == "adam":
        return optimizers.Adam(learning_rate(settings, steps), **common, **arguments)
    if settings.optimizer == "adagrad":
        return optimizers.Adagrad(learning_rate(settings, steps), **common)
    if not any("embeddings" in variable.path for variable in model.trainable_variables):
        raise UserError(
            "optimizer: row_wise_adagrad is for models with embedding tables, and this one has none. Use adagrad or adam."
        )
    return optimizers.RowWiseAdagrad(learning_rate(settings, steps), **common)


def learning_rate(settings, steps):
    """The number, or the `keras` schedule over `steps` updates, that learning_rate and learning_rate_schedule ask for."""
    if settings.learning_rate_schedule == "constant":
        return settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(settings.learning_rate, decay_steps=steps)


def train(
    model,
    epoch_columns,
    settings,
    *,
    seed,
    rows_per_epoch,
    score,
    metric="auc",
    loss=None,
    transform=None,
    loss_weights=None,
    on_progress=None,
    first_kept=0,
    state=None,
):
    """Trains `model` for `settings.epochs` epochs and leaves it with the weights of the best one.

    Args:
        model: a `keras.Model` (or a `Distiller`), not yet compiled.
        epoch_columns: epoch number (from 0) -> the columns of that epoch, (x, y) or (x, y, sample_weight), with arrays
            of equal length.
        settings: `epochs`, `batch_size`, `steps_per_execution`, `xla`, and what `make_optimizer` reads.
        seed: fixes the order of the rows in every epoch.
        rows_per_epoch: length of the columns.
        score: () -> what the best epoch is chosen by, of the validation part and the model as it stands; more is better.
        metric: what `score` is called.
        loss: a `keras.losses.Loss` for each output; default: binary cross-entropy on logits.
        transform: applied to the x of every batch, such as `data.pair_expander(dataset)`.
        loss_weights: one number an output, for a model with several.
        on_progress: called as (examples done, examples in all) while it runs.
        first_kept: the first epoch, from 0, whose weights may be kept; those before it are on the way there.
        state: the path of an .npz file that keeps what the training has so far; where it is there, training goes on from
            it and ends as if it had not been stopped (see `docs/distribution.md`). `None` to keep nothing.

    Under a distribution strategy, in whose scope model and this call must be, every replica has its part of each batch,
    and the chief's score decides.

    Raises:
        UserError: an epoch has fewer rows than a batch, a batch does not divide by the replicas, or the loss is no longer a
            number.

    Returns: one record an epoch: epoch, loss, validation_METRIC, seconds, examples_per_second; the seconds and the speed
    are those of training alone, without the scoring.
    """
    from tfdistill.data import train_batches

    steps = rows_per_epoch // settings.batch_size
    if steps == 0:
        raise UserError(
            f"batch_size: expected at most the {rows_per_epoch:,} rows of an epoch, received {settings.batch_size:,}. "
            "Set a smaller `train.batch_size` for this model."
        )
    loss = loss or keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(
        optimizer=with_loss_scaling(make_optimizer(settings, steps * settings.epochs, model), model),
        loss=loss if loss_weights is None else [loss] * len(loss_weights),
        loss_weights=loss_weights,
        **execution(settings, steps, auto="auto"),
    )
    fit_over_replicas(model)

    def batches_of(epoch):
        return train_batches(epoch_columns(epoch), settings.batch_size, seed, epoch, transform=transform)

    kept, best_weights = TrainingState(state, model), None
    progress = {"records": [], "best": -1.0}
    if kept.exists():
        # A step makes whatever variables are made late; the state then takes the place of all.
        model.fit(distribute(batches_of(0).take(1)), verbose=0, shuffle=False)
        progress, best_weights = kept.read()
    records, workers = progress["records"], kept.workers
    for epoch in range(len(records), settings.epochs):
        batches = distribute(batches_of(epoch))
        reporter = _Progress(on_progress, epoch * steps, settings.epochs * steps, settings.batch_size)
        started = time.perf_counter()
        history = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[reporter]).history
        seconds = time.perf_counter() - started
        if not np.isfinite(history["loss"][-1]):
            raise UserError(
                f"learning_rate: training diverged in epoch {epoch + 1}, the loss is {history['loss'][-1]}. Set a smaller "
                f"`train.learning_rate` for this model; it is {settings.learning_rate:g}."
            )
        quality = workers.from_chief(score() if workers.is_chief else 0.0)[0]
        if epoch >= first_kept and quality > progress["best"]:
            progress["best"], best_weights = quality, model.get_weights()
        records.append(
            {
                "epoch": epoch + 1,
                "loss": float(history["loss"][-1]),
                f"validation_{metric}": float(quality),
                "seconds": seconds,
                "examples_per_second": steps * settings.batch_size / seconds,
            }
        )
        if epoch + 1 < settings.epochs:
            kept.write(progress, best_weights)
    model.set_weights(best_weights)
    return records


def inference(model):
    """A model's (or any callable's) answer to a dict of tensors as one traced function, to be asked again and again."""
    ask = (lambda batch: model(batch, training=False)) if isinstance(model, keras.Model) else model
    return tf.function(ask, reduce_retracing=True)


def predict_logits(model, inputs, batch_size=8192, on_progress=None):
    """Logits of a model for columns of any length, float32 [n, k], in batches that fit any machine.

    Args:
        model: a `keras.Model`, any callable on a dict of tensors, or what `inference` made of one.
        inputs: {field name: array [n, ...]}.
        batch_size: rows a call.
        on_progress: called with the number of rows done.
    """
    step = model if isinstance(model, tf.types.experimental.PolymorphicFunction) else inference(model)
    rows = len(next(iter(inputs.values())))
    pieces = []
    for start in range(0, rows, batch_size):
        batch = {name: tf.constant(column[start : start + batch_size]) for name, column in inputs.items()}
        pieces.append(step(batch).numpy())
        if on_progress is not None:
            on_progress(min(start + batch_size, rows))
    return np.concatenate(pieces).astype(np.float32)


class _Progress(keras.callbacks.Callback):
    """Tells how many examples of the whole training are done."""

    def __init__(self, tell, steps_before, steps_in_all, batch_size):
        super().__init__()
        self.tell, self.steps_before = tell, steps_before
        self.steps_in_all, self.batch_size = steps_in_all, batch_size

    def on_train_batch_end(self, batch, logs=None):
        if self.tell is not None:
            self.tell((self.steps_before + batch + 1) * self.batch_size, self.steps_in_all * self.batch_size)
