"""What the stages that train and score models share."""

import numpy as np

from tfdistill import files
from tfdistill.recipes.tasks import task_of

MODEL = "model.keras"
PARTS = ("validation", "test")


def student_stage(role, seed):
    """The name of the stage that trains one student: "alone_seed1", "distilled_prune_seed3"."""
    return f"{role.replace(' ', '_')}_seed{seed}"


def content_of(path):
    """What a path holds, by its bytes: a changed file makes the stages that read it run again; `None` for no path."""
    return None if path is None else files.fingerprint(path)


def build_model(shape, settings, dataset, precision="float32", **arguments):
    """Builds a model for the data: its shape from a recipe's `model`, its regularisation from its `train`."""
    from tfdistill.precision import building_in

    with building_in(precision):
        return task_of(dataset).build_model(shape, settings, dataset, **arguments)


def score(logits, dataset, part, ndcg_k):
    """All metrics of one part of the data, from the logits [n, k] of its rows."""
    task, rows = task_of(dataset), dataset.rows(part)
    return task.metrics(dataset, rows, task.probability(logits), ndcg_k)


def validation_quality(model, dataset):
    """Returns () -> what the best epoch is chosen by, of `model` on the validation part, as it stands when called."""
    from tfdistill.training import inference, predict_logits

    task, rows, ask = task_of(dataset), dataset.rows("validation"), inference(model)
    inputs = dataset.inputs(rows)
    return lambda: task.quality(dataset, rows, predict_logits(ask, inputs, task.rows_a_call))


def train_on_labels(model, dataset, settings, seed, tell, first_kept=0, state=None):
    """Trains a model on the hard labels, with the exposure task beside them where `settings` ask for it.

    Returns: the records of the epochs; see `tfdistill.training.train`.
    """
    from tfdistill.training import train

    task, rows = task_of(dataset), dataset.rows("train")
    common = {
        "seed": seed,
        "score": validation_quality(model, dataset),
        "metric": task.metric,
        "loss": task.hard_loss(),
        "transform": task.expander(dataset),
        "on_progress": tell,
        "first_kept": first_kept,
        "state": state,
    }
    if not settings.exposure_weight:
        columns = (task.columns(dataset, rows), task.labels(dataset, rows))
        return train(model, lambda epoch: columns, settings, rows_per_epoch=len(rows), **common)
    from tfdistill.data import ExposureSet
    from tfdistill.models.exposure import with_exposure_head

    pairs = ExposureSet(dataset, seed)
    # Half of the rows carry a label, so a mean over all rows halves that loss; the 2 gives it its weight back.
    weights = [2.0, 2.0 * settings.exposure_weight]
    both = with_exposure_head(model)
    return train(both, pairs.epoch, settings, rows_per_epoch=pairs.rows_per_epoch, loss_weights=weights, **common)


def summarise(epochs, predict, dataset, ndcg_k):
    """The record of one trained model: its epochs, its speed and its metrics.

    Args:
        epochs: what `training.train` returned; empty for a model that was loaded.
        predict: row numbers [n] -> logits [n, k].
        dataset: the data.
        ndcg_k: k of ndcg@k.
    """
    record = {"epochs": epochs}
    for part in PARTS:
        record[part] = score(predict(dataset.rows(part)), dataset, part, ndcg_k)
    if epochs:
        record["seconds"] = sum(epoch["seconds"] for epoch in epochs)
        record["examples_per_second"] = float(np.median([epoch["examples_per_second"] for epoch in epochs]))
    return record


def open_model(path):
    """Reads a model that `save_model` wrote."""
    import keras

    from tfdistill import clustering, models, quantization, sparsity

    for package in (clustering, models, quantization, sparsity):
        for name in package.__all__:
            getattr(package, name)  # imports and thereby registers the layers that the file names

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def save_model(model, path):
    """Writes the model alone: a compiled one would carry its optimizer, twice its own size."""
    plain = type(model).from_config(model.get_config())
    plain.set_weights(model.get_weights())
    plain.save(path)


def finish(model, folder, epochs, dataset, ndcg_k):
    """Writes a trained model into a stage's folder and returns its record."""
    from tfdistill.export.keras_contents import layer_table
    from tfdistill.parametrize import plain_model
    from tfdistill.training import predict_logits

    save_model(model, folder / MODEL)
    rows_a_call = task_of(dataset).rows_a_call
    record = summarise(epochs, lambda rows: predict_logits(model, dataset.inputs(rows), rows_a_call), dataset, ndcg_k)
    return {"parameters": plain_model(model).count_params(), "layers": layer_table(model), **record}
