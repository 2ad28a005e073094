"""Data sets as .npz files: arrays, and JSON for what is not an array."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from tfdistill.data.dataset import Dataset
from tfdistill.data.fields import Field
from tfdistill.data.implicit import PARTS, ImplicitDataset
from tfdistill.errors import UserError
from tfdistill.files import atomic_path

FORMAT = 1
ARRAYS = ("user_row", "item_row", "label", "split", "user_ids", "item_ids", "example_id")
GROUPS = ("user_features", "item_features", "context", "vocabularies")
IMPLICIT_GROUPS = ("pairs", "user_features", "item_features", "ids", "vocabularies")


def save(dataset, path):
    """Writes a `Dataset` to `path` (.npz), atomically."""
    structure = {
        "source": dataset.source,
        "fields": [dataclasses.asdict(one) for one in dataset.fields],
        "numeric": dataset.numeric,
        "unseen": dataset.unseen,
    }
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    _write(path, arrays, {group: getattr(dataset, group) for group in GROUPS}, structure)


def load(path):
    """Reads a `Dataset` from a file written by `save`.

    Raises:
        UserError: where the file is missing, truncated, changed or of another kind.
    """

    def make(arrays, groups, structure):
        return Dataset(
            fields=tuple(Field(**one) for one in structure["fields"]),
            numeric={name: tuple(pair) for name, pair in structure["numeric"].items()},
            unseen=structure["unseen"],
            source=structure["source"],
            **{name: arrays[name] for name in ARRAYS},
            **groups,
        )

    return _read(path, GROUPS, make)


def save_implicit(dataset, path):
    """Writes an `ImplicitDataset` to `path` (.npz), atomically."""
    structure = {
        name: getattr(dataset, name) for name in ("users", "items", "is_ordered", "dropped", "source", "numeric")
    }
    for name in ("user_fields", "item_fields"):
        structure[name] = [dataclasses.asdict(one) for one in getattr(dataset, name)]
    ids = {"user_ids": dataset.user_ids, "item_ids": dataset.item_ids}
    groups = {group: getattr(dataset, group) for group in IMPLICIT_GROUPS if group != "ids"}
    groups["ids"] = {name: values for name, values in ids.items() if values is not None}
    _write(path, {}, groups, structure)


def load_implicit(path):
    """Reads an `ImplicitDataset` from a file written by `save_implicit`; raises as `load`."""

    def make(arrays, groups, structure):
        ids = groups.pop("ids")
        pairs = groups.pop("pairs")
        fields = {name: tuple(Field(**one) for one in structure[name]) for name in ("user_fields", "item_fields")}
        return ImplicitDataset(
            pairs={part: pairs[part] for part in PARTS},
            numeric={name: tuple(pair) for name, pair in structure["numeric"].items()},
            **{name: structure[name] for name in ("users", "items", "is_ordered", "dropped", "source")},
            **fields,
            **groups,
            **ids,
        )

    return _read(path, IMPLICIT_GROUPS, make)


def _write(path, arrays, groups, structure):
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"Received an invalid value for `path`, expected a name that ends in .npz. Received: {path}")
    arrays, structure = dict(arrays), {"format": FORMAT, **structure}
    for group, members in groups.items():
        # Names become numbers: a feature name may hold characters that a zip entry should not.
        structure[group] = list(members)
        for number, array in enumerate(members.values()):
            arrays[f"{group}.{number}"] = array
    arrays["structure"] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def _read(path, groups, make):
    """What `make` returns for (arrays, {group: {name: array}}, structure) of a file."""
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
        members = {
            group: {name: arrays[f"{group}.{number}"] for number, name in enumerate(structure[group])}
            for group in groups
        }
        return make(arrays, members, structure)
    except (UserError, PermissionError):
        raise
    except Exception as problem:  # a damaged zip raises a dozen kinds: BadZipFile, TokenError, NotImplementedError, ...
        raise UserError(
            f"'{path}' is damaged or not a data set of tfdistill ({type(problem).__name__}: {problem}). "
            f"Delete it and encode the data again."
        ) from problem
