"""A data set as one .npz file: arrays, and JSON for what is not an array."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from tfdistill.data.dataset import Dataset
from tfdistill.data.fields import Field
from tfdistill.errors import UserError
from tfdistill.files import atomic_path

FORMAT = 1
ARRAYS = ("user_row", "item_row", "label", "split", "user_ids", "item_ids", "example_id")
GROUPS = ("user_features", "item_features", "context", "vocabularies")


def save(dataset, path):
    """Writes `dataset` to `path` (.npz), atomically."""
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"Received an invalid value for `path`, expected a name that ends in .npz. Received: {path}")
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    structure = {
        "format": FORMAT,
        "source": dataset.source,
        "fields": [dataclasses.asdict(one) for one in dataset.fields],
        "numeric": dataset.numeric,
        "unseen": dataset.unseen,
    }
    for group in GROUPS:
        # Names become numbers: a feature name may hold characters that a zip entry should not.
        structure[group] = list(getattr(dataset, group))
        for number, array in enumerate(getattr(dataset, group).values()):
            arrays[f"{group}.{number}"] = array
    arrays["structure"] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def load(path):
    """Reads a `Dataset` from a file written by `save`.

    Raises:
        UserError: where the file is missing, truncated, changed or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no data set at '{path}'.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        structure = json.loads(arrays["structure"].tobytes())
        if structure["format"] != FORMAT:
            raise UserError(
                f"'{path}' has format {structure['format']}, this version reads {FORMAT}; encode the data again."
            )
        return Dataset(
            fields=tuple(Field(**one) for one in structure["fields"]),
            numeric={name: tuple(pair) for name, pair in structure["numeric"].items()},
            unseen=structure["unseen"],
            source=structure["source"],
            **{name: arrays[name] for name in ARRAYS},
            **{
                group: {name: arrays[f"{group}.{number}"] for number, name in enumerate(structure[group])}
                for group in GROUPS
            },
        )
    except (UserError, PermissionError):
        raise
    except Exception as problem:  # a damaged zip raises a dozen kinds: BadZipFile, TokenError, NotImplementedError, ...
        raise UserError(
            f"'{path}' is damaged or not a data set of tfdistill ({type(problem).__name__}: {problem}). "
            f"Delete it and encode the data again."
        ) from problem
