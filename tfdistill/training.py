"""Training a model the way every stage of a recipe does: seeded epochs, scored on validation, the best epoch kept."""

import time

import keras
import numpy as np
import tensorflow as tf

from tfdistill.errors import UserError


def make_optimizer(settings, steps):
    """Adam with the recipe's schedule over `steps` updates.

    Args:
        settings: has learning_rate, learning_rate_schedule ("constant" or "cosine", which falls to zero) and
            weight_decay (decoupled, 0 for none).
        steps: number of updates in the whole training.
    """
    learning_rate = settings.learning_rate
    if settings.learning_rate_schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    return keras.optimizers.Adam(learning_rate, weight_decay=settings.weight_decay or None)


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
):
    """Trains `model` for `settings.epochs` epochs and leaves it with the weights of the best one.

    Args:
        model: a `keras.Model` (or a `Distiller`), not yet compiled.
        epoch_columns: epoch number (from 0) -> the columns of that epoch, (x, y) or (x, y, sample_weight), with arrays
            of equal length.
        settings: `epochs`, `batch_size`, and what `make_optimizer` reads.
        seed: fixes the order of the rows in every epoch.
        rows_per_epoch: length of the columns.
        score: () -> what the best epoch is chosen by, of the validation part and the model as it stands; more is better.
        metric: what `score` is called.
        loss: a `keras.losses.Loss` for each output; default: binary cross-entropy on logits.
        transform: applied to the x of every batch, such as `data.pair_expander(dataset)`.
        loss_weights: one number an output, for a model with several.
        on_progress: called as (examples done, examples in all) while it runs.
        first_kept: the first epoch, from 0, whose weights may be kept; those before it are on the way there.

    Raises:
        UserError: an epoch has fewer rows than a batch, or the loss is no longer a number.

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
        optimizer=make_optimizer(settings, steps * settings.epochs),
        loss=loss if loss_weights is None else [loss] * len(loss_weights),
        loss_weights=loss_weights,
        steps_per_execution=min(16, steps),
    )
    records, best_weights, best = [], None, -1.0
    for epoch in range(settings.epochs):
        batches = train_batches(epoch_columns(epoch), settings.batch_size, seed, epoch, transform=transform)
        reporter = _Progress(on_progress, epoch * steps, settings.epochs * steps, settings.batch_size)
        started = time.perf_counter()
        history = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[reporter]).history
        seconds = time.perf_counter() - started
        if not np.isfinite(history["loss"][-1]):
            raise UserError(
                f"learning_rate: training diverged in epoch {epoch + 1}, the loss is {history['loss'][-1]}. Set a smaller "
                f"`train.learning_rate` for this model; it is {settings.learning_rate:g}."
            )
        quality = score()
        if epoch >= first_kept and quality > best:
            best, best_weights = quality, model.get_weights()
        records.append(
            {
                "epoch": epoch + 1,
                "loss": float(history["loss"][-1]),
                f"validation_{metric}": float(quality),
                "seconds": seconds,
                "examples_per_second": steps * settings.batch_size / seconds,
            }
        )
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
