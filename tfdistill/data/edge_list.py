"""Edge lists: text with a pair of a user and an item a line."""

import csv
import io
import mmap
import re
from pathlib import Path

import numpy as np

from tfdistill.data.interactions import Interactions
from tfdistill.data.sequence_file import text_of
from tfdistill.data.values import from_text
from tfdistill.errors import UserError

IDS = ("user", "item")
COLUMNS = (*IDS, "weight", "time")


def read_edges(path, *, columns=("user", "item"), separator=None, positive_above=None, is_ordered=False, skip_lines=0):
    """Reads a text file with a pair of a user and an item a line, without a header.

    Ids that are all written as whole numbers become integers.

    Args:
        path: a UTF-8 text file; empty lines count for nothing.
        columns: what the columns hold: "user" and "item", perhaps "weight" and "time" (numbers), None for one that is passed
            over. A line may hold more columns than are named.
        separator: what parts the columns; None: spaces and tabs.
        positive_above: with a weight: label 1 above this number, else 0. Without it all labels are 1 and weights are unused.
        is_ordered: whether lines stand in the order of time; `time` is then the line's number. Not with a time column.
        skip_lines: lines to pass over at the beginning, such as a header.

    Returns:
        `Interactions`; `example_id` is the number of the pair, from 0.

    Raises:
        UserError: where the file is missing, empty or not UTF-8, or a line lacks a column or a number.
        ValueError: on other `columns`, or `positive_above` without a weight.

    >>> edges = read_edges("ratings.dat", columns=("user", "item", "weight"), separator="::", positive_above=3)
    >>> len(edges), int(edges.label.sum())
    (1000209, 575281)
    """
    path = Path(path).expanduser()
    columns = _checked(columns, positive_above, is_ordered)
    _refuse_bad_file(path)
    table = _read_fast(path, columns, separator, skip_lines)
    if table is None:
        table = _read_by_line(path, columns, separator, skip_lines)
    if not len(table["user"]):
        raise UserError(f"{path}: the file holds no pair.")
    count = len(table["user"])
    label = np.ones(count, np.float32)
    if positive_above is not None:
        label = (table["weight"] > positive_above).astype(np.float32)
    return Interactions(
        user=table["user"],
        item=table["item"],
        label=label,
        time=np.arange(count) if is_ordered else table.get("time"),
        source=str(path),
    )


def _checked(columns, positive_above, is_ordered):
    columns = tuple(columns)
    named = [column for column in columns if column is not None]
    if isinstance(columns, str) or not set(named) <= set(COLUMNS) or len(set(named)) < len(named):
        raise ValueError(
            f"Received invalid `columns`, expected some of {COLUMNS} or None, each once. Received: {columns!r}"
        )
    if not {"user", "item"} <= set(named):
        raise ValueError(f"Received invalid `columns`, expected 'user' and 'item' among them. Received: {columns!r}")
    if positive_above is not None and "weight" not in named:
        raise ValueError(f"Received `positive_above` without a weight; name it in `columns`. Received: {columns!r}")
    if is_ordered and "time" in named:
        raise ValueError("Received `is_ordered` and a time column, expected one of them.")
    return columns


def _refuse_bad_file(path):
    if not path.is_file():
        raise UserError(f"data.path: no file '{path}'.")
    if not path.stat().st_size:
        raise UserError(f"{path}: the file is empty.")


def _read_fast(path, columns, separator, skip_lines):
    """{column: array} of a file with equal lines; None where it is something else, or something is wrong."""
    file, separator = path, separator or r"\s+"
    if len(separator) > 1 and separator != r"\s+":
        text = text_of(path)  # pandas reads separators of one character fast
        if "\t" in text:
            return None
        file, separator = text.replace(separator, "\t"), "\t"
    # To read 007 as a number would make it the same id as 7.
    for id_type in ("str",) if _has_leading_zeros(path) else (np.int64, "str"):
        table = _parsed(io.StringIO(file) if isinstance(file, str) else file, columns, separator, skip_lines, id_type)
        if table is not None:
            return table
    return None


def _has_leading_zeros(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return re.search(rb"(?<![\w.-])-?0\d", content) is not None


def _parsed(file, columns, separator, skip_lines, id_type):
    import pandas

    wanted = [place for place, column in enumerate(columns) if column is not None]
    types = {place: id_type if columns[place] in IDS else np.float64 for place in wanted}
    try:
        table = pandas.read_csv(
            file,
            sep=separator,
            header=None,
            usecols=wanted,
            dtype=types,
            skiprows=skip_lines,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8-sig",
        )
    except (ValueError, OverflowError, pandas.errors.ParserError):
        return None
    found = {}
    for place in wanted:
        column = table[place]
        if columns[place] in IDS:
            if id_type == "str":
                column = column.str.strip()
                if (column == "").any():
                    return None
                column = from_text(column)
            found[columns[place]] = np.asarray(column)
        else:
            if not np.isfinite(column).all():
                return None
            found[columns[place]] = _whole(column.to_numpy())
    return found


def _read_by_line(path, columns, separator, skip_lines):
    """{column: array} of any file; a UserError names the first line that is wrong."""
    cells = {column: [] for column in columns if column is not None}
    numbers = []
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if number <= skip_lines or not line.strip():
            continue
        parts = line.split(separator)
        if len(parts) < len(columns) or not all(part.strip() for part in parts[: len(columns)]):
            form = " ".join(column or "..." for column in columns)
            raise UserError(
                f"{path}: line {number:,} is not of the form {form} ({line[:80]!r}); name `separator`, or mend it."
            )
        numbers.append(number)
        for column, part in zip(columns, parts, strict=False):
            if column is not None:
                cells[column].append(part.strip())
    return {
        column: from_text(values) if column in IDS else _as_numbers(path, column, values, numbers)
        for column, values in cells.items()
    }


def _as_numbers(path, column, values, numbers):
    import pandas

    parsed = pandas.to_numeric(pandas.Series(values, dtype="str"), errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(parsed)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(
            f"{path}: {values[first]!r} in the column of the {column} is not a number, at line {numbers[first]:,}."
        )
    return _whole(parsed)


def _whole(values):
    """Whole floats as integers, so that times of many digits stay exact where they can."""
    if values.dtype.kind == "f" and (values == np.rint(values)).all() and np.abs(values).max(initial=0) < 2**53:
        return values.astype(np.int64)
    return values
