"""What the stages that train and score models share."""

import numpy as np

MODEL = "model.keras"
PARTS = ("validation", "test")


def student_stage(role, seed):
    """The name of the stage that trains one student: "alone_seed1", "distilled_prune_seed3"."""
    return f"{role.replace(' ', '_')}_seed{seed}"


def build_ranker(shape, settings, dataset, **arguments):
    """Builds a ranker for the data: its shape from a recipe's `model`, its regularisation from its `train`."""
    from tfdistill.models import build

    return build(
        **shape.model_dump(),
        fields=dataset.fields,
        dropout=settings.dropout,
        embedding_l2=settings.embedding_l2,
        **arguments,
    )


def score(logits, dataset, part, ndcg_k):
    """All metrics of one part of the data, from logits [n, 1] of its rows."""
    from tfdistill.evaluation import click_metrics

    rows = dataset.rows(part)
    return click_metrics(dataset.label[rows], probability(logits[:, 0]), dataset.user_row[rows], k=ndcg_k)


def probability(logits):
    """The sigmoid in float64, safe at any size of the logit."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))


def validation_auc(model, dataset):
    """Returns () -> AUC of `model` on the validation part, as it stands when called."""
    from tfdistill.evaluation import auc
    from tfdistill.training import inference, predict_logits

    rows = dataset.rows("validation")
    inputs, label, ask = dataset.inputs(rows), dataset.label[rows], inference(model)
    return lambda: auc(label, predict_logits(ask, inputs)[:, 0])


def train_on_labels(ranker, dataset, settings, seed, tell, first_kept=0):
    """Trains a ranker on the hard labels, with the exposure task beside them where `settings` ask for it.

    Returns: the records of the epochs; see `tfdistill.training.train`.
    """
    from tfdistill.data import ExposureSet, pair_expander
    from tfdistill.models.exposure import with_exposure_head
    from tfdistill.training import train

    common = {
        "seed": seed,
        "score": validation_auc(ranker, dataset),
        "transform": pair_expander(dataset),
        "on_progress": tell,
        "first_kept": first_kept,
    }
    if not settings.exposure_weight:
        rows = dataset.rows("train")
        columns = (dataset.pairs(rows), dataset.label[rows][:, None])
        return train(ranker, lambda epoch: columns, settings, rows_per_epoch=len(rows), **common)
    pairs = ExposureSet(dataset, seed)
    # Half of the rows carry a label, so a mean over all rows halves that loss; the 2 gives it its weight back.
    weights = [2.0, 2.0 * settings.exposure_weight]
    model = with_exposure_head(ranker)
    return train(model, pairs.epoch, settings, rows_per_epoch=pairs.rows_per_epoch, loss_weights=weights, **common)


def summarise(epochs, predict, dataset, ndcg_k):
    """The record of one trained model: its epochs, its speed and its metrics.

    Args:
        epochs: what `training.train` returned; empty for a model that was loaded.
        predict: row numbers [n] -> logits [n, 1].
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
    """Writes a trained ranker into a stage's folder and returns its record."""
    from tfdistill.export.keras_contents import layer_table
    from tfdistill.parametrize import plain_model
    from tfdistill.training import predict_logits

    save_model(model, folder / MODEL)
    record = summarise(epochs, lambda rows: predict_logits(model, dataset.inputs(rows)), dataset, ndcg_k)
    return {"parameters": plain_model(model).count_params(), "layers": layer_table(model), **record}
