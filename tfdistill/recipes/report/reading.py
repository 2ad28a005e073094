"""Reads a run folder's two JSON files, and says plainly what is wrong with one that cannot be read."""

from pathlib import Path
from typing import NamedTuple

from tfdistill.errors import UserError
from tfdistill.recipes.run_files import MANIFEST, METRICS, read_run_file
from tfdistill.recipes.tasks import task_named


class Metric(NamedTuple):
    """What a run is judged by: its key in `test` and `validation`, and what people call it."""

    key: str
    title: str


def leading_metric(metrics):
    """Returns the `Metric` of a run: the one that its metrics.json names, else that of its task.

    >>> leading_metric({"task": "click-through"}).title
    'AUC'
    """
    task = task_named(metrics.get("task"))
    key = metrics.get("metric")
    return Metric(key, key) if isinstance(key, str) and key != task.metric else Metric(task.metric, task.title)


def read_run(run_folder):
    """Returns (manifest, metrics) of a run folder.

    Raises:
        UserError: A file is missing, is no JSON object, or is of a format that this version does not know.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise UserError(f"run_folder: no folder '{folder}'. Pass the folder of a run, saved_models/<recipe>/<run>.")
    return read_run_file(folder, MANIFEST), read_run_file(folder, METRICS)


def dig(value, *keys):
    """Returns the value under nested `keys`, or None as soon as one is missing.

    >>> dig({"latency_ms": {"p50": 0.02}}, "latency_ms", "p50"), dig({"latency_ms": None}, "latency_ms", "p50")
    (0.02, None)
    """
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def objects(value):
    """Returns the dictionaries of a list, and an empty list for anything that is none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
