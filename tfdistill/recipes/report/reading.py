"""Reads a run folder's two JSON files, and says plainly what is wrong with one that cannot be read."""

import json
from pathlib import Path

from tfdistill.errors import UserError

FORMAT = 1


def read_run(run_folder):
    """Returns (manifest, metrics) of a run folder.

    Raises:
        UserError: A file is missing, is no JSON object, or is of a format that this version does not know.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise UserError(f"run_folder: no folder '{folder}'. Pass the folder of a run, saved_models/<recipe>/<run>.")
    return _read(folder / "manifest.json"), _read(folder / "metrics.json")


def _read(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"no '{path}': the run is not finished or this is no run folder. Run `tfdistill run`."
        ) from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"'{path}' is damaged ({error}). Delete the run folder and run the recipe again.") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise UserError(
            f"'{path}': expected a JSON object with \"format\": {FORMAT}, found {found!r}. "
            "It was written by another version of tfdistill or is no run's file; run the recipe again."
        )
    return value


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
