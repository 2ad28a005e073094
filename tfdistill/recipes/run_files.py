"""Reading the two JSON files of a run folder, and saying plainly what is wrong with one that cannot be read."""

import json
from pathlib import Path

from tfdistill import files
from tfdistill.errors import UserError

FORMAT = 1
MANIFEST = "manifest.json"
METRICS = "metrics.json"


def read_run_file(folder, name):
    """Returns the content of manifest.json or metrics.json of a run folder, a dict.

    Raises:
        UserError: it is missing, is no JSON object, or is of a format that this version does not know.
    """
    path = Path(folder) / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"no '{path}': the run is not finished or this is no run folder. Pass a folder saved_models/<recipe>/<run>, "
            "or run the recipe to its end."
        ) from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"'{path}' is damaged, not readable as JSON ({error}). Run the recipe again.") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise UserError(
            f"'{path}': expected a JSON object with \"format\": {FORMAT}, found {found!r}. "
            "It was written by another version of tfdistill or is no run's file; run the recipe again."
        )
    return value


def fault(folder, entry):
    """What is wrong with a file that a manifest lists; `None` if it is what was written.

    Args:
        folder: the run folder.
        entry: {path, bytes, sha256}.
    """
    path = Path(folder) / entry["path"]
    if not path.is_file():
        return "missing"
    if path.stat().st_size != entry["bytes"]:
        return f"expected {entry['bytes']} bytes, found {path.stat().st_size}"
    found = files.sha256(path)
    return None if found == entry["sha256"] else f"expected sha256 {entry['sha256']}, found {found}"
