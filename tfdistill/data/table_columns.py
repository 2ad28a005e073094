"""Columns of a table as numbers, ids, times and lists, with errors that name the line."""

import numpy as np

from tfdistill.data.interactions import missing_cells
from tfdistill.data.values import from_text, tidy
from tfdistill.errors import UserError


def as_numbers(column, name, table, rows=None):
    """float64 [n], not-a-number where the cell is missing."""
    numbers, missing = _coerced(column)
    _refuse(np.isnan(numbers) & ~missing, column, name, table, rows, "is not a number")
    _refuse(np.isinf(numbers), column, name, table, rows, "is not a finite number")
    return numbers


def as_times(column, name, table):
    """int64 or float64 [n] that sort in time; dates become nanoseconds since 1970."""
    import pandas

    missing = missing_cells(column)
    if missing.any():
        raise UserError(
            f"{table.name}: {int(missing.sum()):,} values are missing in column '{name}', first at "
            f"{table.place(int(missing.argmax()))}. Drop those rows or do not name a time column."
        )
    if column.dtype.kind == "M":
        return column.to_numpy("datetime64[ns]").astype(np.int64)
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
    missing = missing_cells(column)
    cells = np.empty(len(column), object)
    for place, cell in enumerate(column):
        if missing[place]:
            continue
        if isinstance(cell, str):
            cell = [part.strip() for part in cell.split(spec.separator) if part.strip()]
        elif isinstance(cell, (list, tuple, np.ndarray)):
            cell = list(cell)
        else:
            cell = [cell]
        cells[place] = cell
    if table.is_text:
        flat = from_text([value for cell in cells if cell is not None for value in cell])
        start = 0
        for place, cell in enumerate(cells):
            if cell is not None:
                cells[place] = flat[start : start + len(cell)].tolist()
                start += len(cell)
    return cells


def _coerced(column):
    import pandas

    missing = missing_cells(column)
    if column.dtype == object:  # decimals and the like
        column = column.where(~missing, None).astype("str")
    numbers = pandas.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers, missing


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
