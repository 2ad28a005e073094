"""Sequence files: a user a line, followed by the items in the order of time."""

import json
from pathlib import Path

import numpy as np

from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.values import from_text
from tfdistill.errors import UserError


def read_sequences(path, *, separator=None, attributes=None):
    """Reads a file of lines `user item item ...`, each user's items in the order of time.

    `time` is an item's position in its line, from 0, and orders one user's own rows only. All labels are 1. Ids that are all
    written as whole numbers become integers. A line with a user and no item is a user without rows.

    Args:
        path: a UTF-8 text file; empty lines count for nothing.
        separator: what parts the entries of a line; None: spaces and tabs.
        attributes: a JSON file {item: [attribute, ...]}, read as the item feature "attributes" (a bag); items that it lacks
            have none.

    Returns:
        `Interactions`; `example_id` is the row's number in reading order.

    Raises:
        UserError: where the file is missing, empty, not UTF-8, or gives a user two lines.

    >>> interactions = read_sequences("Beauty.txt")
    >>> len(interactions), interactions.item[:3], interactions.time[:3]
    (198502, array([1, 2, 3]), array([0, 1, 2]))
    """
    path = Path(path).expanduser()
    lines = [entries for line in text_of(path).splitlines() if (entries := _entries(line, separator))]
    if not any(len(entries) > 1 for entries in lines):
        raise UserError(f"{path}: no line holds a user and an item; expected lines of the form user item item ...")
    users = from_text([entries[0] for entries in lines])
    _refuse_users_twice(path, users, separator)
    lengths = np.array([len(entries) - 1 for entries in lines])
    items = from_text([item for entries in lines for item in entries[1:]])
    position = np.arange(len(items)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    frame, features = None, ()
    if attributes is not None:
        frame = _attributes(Path(attributes).expanduser(), items)
        features = (FeatureSpec("attributes", of="item", kind="bag", missing="unknown"),)
    return Interactions(
        user=np.repeat(users, lengths),
        item=items,
        label=np.ones(len(items), np.float32),
        time=position,
        items=frame,
        features=features,
        source=str(path),
        time_scope="user",
    )


def text_of(path):
    """The text of a UTF-8 file; a UserError where there is none."""
    if not path.is_file():
        raise UserError(f"data.path: no file '{path}'.")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UserError(f"{path}: the file is not UTF-8 text; save it as UTF-8.") from problem


def _entries(line, separator):
    entries = line.split(separator)
    return entries if separator is None else [entry.strip() for entry in entries if entry.strip()]


def _refuse_users_twice(path, users, separator):
    import pandas

    twice = pandas.Series(users).duplicated()
    if twice.any():
        user = users[twice.to_numpy().argmax()]
        numbers = [
            number
            for number, line in enumerate(text_of(path).splitlines(), 1)
            if (entries := _entries(line, separator)) and entries[0] == str(user)
        ]
        raise UserError(
            f"{path}: user {str(user)!r} has the lines {numbers[0]:,} and {numbers[1]:,}; join them. A file with one "
            f"pair a line is read by `read_edges`."
        )


def _attributes(path, items):
    import pandas

    try:
        attributes = json.loads(text_of(path))
    except json.JSONDecodeError as problem:
        raise UserError(f"{path}: not JSON ({problem}).") from problem
    if not isinstance(attributes, dict) or not all(isinstance(values, list) for values in attributes.values()):
        raise UserError(f"{path}: expected an object {{item: [attribute, ...]}}.")
    ids = pandas.unique(items)
    cells = np.empty(len(ids), object)
    cells[:] = [attributes.get(str(item)) for item in ids]
    return pandas.DataFrame({"attributes": cells}, index=ids)
