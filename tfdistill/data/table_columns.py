"""Columns of a table as numbers, ids, times and lists, with errors that name the line."""

import numpy as np

from tfdistill.data.values import counted, from_text, missing_cells, plain, tidy
from tfdistill.errors import UserError


def as_numbers(column, name, table, rows=None):
    """float64 [n], not-a-number where the cell is missing."""
    numbers, missing = _coerced(column)
    _refuse(np.isnan(numbers) & ~missing, column, name, table, rows, "is not a number")
    _refuse(np.isinf(numbers), column, name, table, rows, "is not a finite number")
    return numbers


def as_labels(column, name, table):
    """As `as_numbers`; a column of true and false becomes one of 1 and 0."""
    if table.is_text:
        lower = column.str.lower()
        if lower.isin(["true", "false"]).any():
            column = lower.replace({"true": "1", "false": "0"})
    return as_numbers(column, name, table)


def as_times(column, name, table):
    """int64 or float64 [n] that sort in time; dates become nanoseconds since 1970."""
    import pandas

    missing = missing_cells(column)
    if missing.any():
        raise UserError(
            f"{table.name}: {counted(int(missing.sum()), 'value is', 'values are')} missing in column '{name}', first at "
            f"{table.place(int(missing.argmax()))}. Drop those rows or do not name a time column."
        )
    if column.dtype.kind == "M":
        return column.to_numpy("datetime64[ns]").astype(np.int64)
    numbers = _parsed_fast(column, "int64", "float64")
    if numbers is None:
        numbers = pandas.to_numeric(column, errors="coerce").to_numpy()
    if not np.isnan(numbers.astype(np.float64)).any():
        return numbers
    dates = pandas.to_datetime(column.astype("str"), errors="coerce", utc=True, format="ISO8601")
    _refuse(dates.isna().to_numpy(), column, name, table, None, "is neither a number nor an ISO date")
    return dates.dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)


def as_ids(column, table):
    """Raw values [n]: int64, float64, or object of str with None where the cell is missing."""
    if table.is_text:
        return from_text(column)
    values, missing = tidy(column.to_numpy(), column.name)
    if missing.any():
        values = values.astype(object)
        values[missing] = None
    return values


def as_lists(column, spec, table):
    """Object [n] of lists of raw values, None where the cell is missing."""
    import pandas

    missing = missing_cells(column)
    if not table.is_text and not all(isinstance(cell, str) for cell in column[~missing]):
        cells = column.to_numpy(object, copy=True)
        cells[missing] = None
        for place in np.flatnonzero(~missing):
            cell = cells[place]
            cells[place] = cell.tolist() if isinstance(cell, np.ndarray) else [plain(cell)]
        return cells
    # Equal cells share one list: a column of many rows has few different ones, as a rule.
    codes, distinct = pandas.factorize(column)
    lists = [[part.strip() for part in text.split(spec.separator) if part.strip()] for text in distinct]
    if table.is_text:
        flat = iter(from_text([value for one in lists for value in one]).tolist())
        lists = [[next(flat) for _ in one] for one in lists]
    shared = np.empty(len(lists) + 1, object)  # the last one stays None, and code -1 finds it
    for place, one in enumerate(lists):
        shared[place] = one
    return shared[codes]


def _coerced(column):
    import pandas

    missing = missing_cells(column)
    numbers = _parsed_fast(column, "float64")
    if numbers is not None:
        return numbers, missing
    if column.dtype == object:  # decimals and the like
        column = column.where(~missing, None).astype("str")
    numbers = pandas.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers, missing


def _parsed_fast(column, *types):
    """The numbers of a column of text, None where Arrow's fast and strict parser refuses one of them."""
    import pyarrow

    if column.dtype != "str":
        return None
    text = pyarrow.array(column)
    for one in types:
        try:
            return text.cast(one).to_numpy(zero_copy_only=False)
        except pyarrow.ArrowInvalid:
            pass


def _refuse(wrong, column, name, table, rows, problem):
    if not wrong.any():
        return
    first = int(wrong.argmax())
    cell = column.iloc[first]
    count = int(wrong.sum())
    more = f" ({count:,} such values)" if count > 1 else ""
    place = table.place(first if rows is None else int(rows[first]))
    raise UserError(
        f"{table.name}: {str(cell)[:80]!r} in column '{name}' {problem}, at {place}{more}. "
        f"Mend the value or drop the row."
    )
