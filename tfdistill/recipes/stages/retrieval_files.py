"""What a retrieval file is worth: its lists for all users, and what it costs."""

import numpy as np

from tfdistill.recipes.stages.retrieval_models import Quality, vectors_of


def measure_file(path, model, dataset, recipe):
    """The record of one file in metrics.json: contents, quality of its lists, difference to Keras, latency.

    Args:
        path: the file.
        model: the Keras model that it was made of.
        dataset: `ImplicitDataset`.
        recipe: the recipe, whose `evaluate` and `export` say how.
    """
    from tfdistill.evaluation import evaluate_retrieval_file, measure_cost, rank_with_file, retrieval_inputs
    from tfdistill.evaluation.record import CONTENTS
    from tfdistill.export import describe

    settings, contents = recipe.evaluate, describe(path)
    record = {key: contents[key] for key in CONTENTS}
    k, exclude = settings.list_lengths(recipe.export.k, dataset.items), settings.exclude
    test = evaluate_retrieval_file(
        path, dataset, "test", exclude, k, history=("train", "validation"), threads=settings.threads
    )
    record["test"] = {name: value for name, value in test.metrics.items() if name in Quality.names(k)}
    users = np.flatnonzero(dataset.lists("test").lengths)[:1000]
    items, scores = rank_with_file(
        path, dataset, max(k), exclude, users=users, history=("train", "validation"), threads=settings.threads
    )
    user, item = vectors_of(model, dataset, ("train", "validation"))
    expected = np.einsum("ud,ukd->uk", user[users], item[np.maximum(items, 0)])
    apart = np.abs(scores - expected)[items >= 0]
    record["parity"] = {"max": float(apart.max()), "mean": float(apart.mean())}
    inputs = retrieval_inputs(path, dataset, users, recipe.export.k, exclude, history=("train", "validation"))
    return {**record, **measure_cost(path, inputs, settings.threads, settings.latency_runs)}
