"""A recipe run once for every fold of its data, and what the folds say together."""

import json
import math
import statistics

from rich import box
from rich.table import Table

from tfdistill import files
from tfdistill.recipes.report import formatting
from tfdistill.recipes.report.entries import read_entries
from tfdistill.recipes.report.reading import leading_metric
from tfdistill.recipes.results import spread

FILE = "cross_validation.json"


def is_cross_validation(recipe):
    """Whether a recipe asks for a run of every fold."""
    return getattr(getattr(recipe.data, "split", None), "is_repeated", False)


def fold_of(recipe, fold):
    """The recipe of one fold."""
    split = recipe.data.split.model_copy(update={"fold": fold})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"split": split})})


def cross_validate(recipe, run, folder, reporter):
    """Runs every fold and writes cross_validation.json into `folder`.

    Args:
        recipe: the recipe.
        run: function of the recipe of one fold, gives its run folder.
        folder: where the outcome is written; made where it is not there.
        reporter: `tfdistill.recipes.progress.Reporter`.

    Returns: `folder`.
    """
    folds, runs = [], []
    for number in range(recipe.data.split.folds):
        reporter.say(f"{recipe.name}: fold {number + 1} of {recipe.data.split.folds}")
        runs.append(run(fold_of(recipe, number)))
        folds.append(json.loads((runs[-1] / "metrics.json").read_text(encoding="utf-8")))
    outcome = summarise(folds) | {"runs": [str(one.name) for one in runs]}
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / FILE, outcome)
    reporter.console.print(table_of(outcome))
    reporter.console.print(f"over {len(folds)} folds: {folder / FILE}", markup=False, soft_wrap=True)
    return folder


def summarise(folds):
    """What the metrics.json of all folds say together.

    Args:
        folds: contents of metrics.json.

    Returns: {"metric", "title", "models": [{"role", "label", "by_fold": [...], "test": {metric: {mean, std, count}}}],
    "distilled_minus_alone": {"mean", "standard_error", "count"}}; numbers of a fold are means over its seeds.
    """
    metric, models = leading_metric(folds[0]), {}
    for fold in folds:
        for entry in read_entries(fold):
            if entry.is_model:
                models.setdefault(entry.role, {"label": entry.label, "tests": []})["tests"].append(entry.test)
    told = [
        {
            "role": role,
            "label": model["label"],
            "by_fold": [test[metric.key].mean for test in model["tests"]],
            "test": {name: spread([test[name].mean for test in model["tests"]]) for name in model["tests"][0]},
        }
        for role, model in models.items()
    ]
    by_fold = {model["role"]: model["by_fold"] for model in told}
    differences = [a - b for a, b in zip(by_fold["distilled"], by_fold["alone"], strict=True)]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    gain = {"mean": statistics.fmean(differences), "standard_error": error, "count": len(differences)}
    return {"metric": metric.key, "title": metric.title, "models": told, "distilled_minus_alone": gain}


def table_of(outcome):
    """A row a model: its metric in every fold, then mean and standard deviation; below, what distillation gains."""
    count = len(outcome["models"][0]["by_fold"])
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column(outcome["title"])
    for title in (*(f"fold {number + 1}" for number in range(count)), "mean"):
        table.add_column(title, justify="right", no_wrap=True)
    for model in outcome["models"]:
        over_folds = model["test"][outcome["metric"]]
        mean = formatting.metric(over_folds["mean"]) + formatting.deviation(over_folds["std"])
        table.add_row(model["label"], *map(formatting.metric, model["by_fold"]), mean)
    gain = outcome["distilled_minus_alone"]
    told = f"{gain['mean']:+.4f} ± {gain['standard_error']:.4f} (standard error)"
    table.add_row("distilled - alone, paired", *[""] * count, told)
    return table
