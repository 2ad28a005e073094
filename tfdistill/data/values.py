"""Raw values in their own type: integers stay integers, strings stay strings."""

import numpy as np

from tfdistill.errors import UserError


def missing_cells(cells):
    """bool [n], True where a cell of a column is empty (None or not a number); a list is never empty in this sense."""
    import pandas

    return np.asarray(pandas.isna(pandas.Series(cells)), bool)


def plain(value):
    """A numpy scalar as Python's own type, so that a message shows 5 and not np.int64(5)."""
    return value.item() if isinstance(value, np.generic) else value


def counted(count, one, many):
    """A number with its noun: "1 row is", "2,000 rows are"."""
    return f"{count:,} {one if count == 1 else many}"


def tidy(cells, name):
    """Returns (values [n] as int64, float64 or object of str; missing bool [n]) of a column of raw values.

    Whole numbers that a gap turned into floats become integers again. Missing cells hold an arbitrary value.

    Raises:
        UserError: where a column mixes numbers and text.
    """
    missing = missing_cells(cells)
    values = np.asarray(cells)
    if values.dtype.kind not in "iubf":
        values = _as_one_type(values.astype(object)[~missing], name)
        full = np.zeros(len(missing), values.dtype)
        full[~missing] = values
        values = full
    if values.dtype.kind in "iub":
        return values.astype(np.int64), missing
    if values.dtype.kind == "f":
        values = np.where(missing, 0.0, values)
        whole = (
            np.isfinite(values).all() and np.abs(values).max(initial=0) < 2**53 and (values == np.rint(values)).all()
        )
        return values.astype(np.int64 if whole else np.float64), missing
    return values, missing


def _as_one_type(values, name):
    """Present values of an object column as one numpy type."""
    import pandas

    kind = pandas.api.types.infer_dtype(values, skipna=False)
    if kind in ("integer", "boolean", "floating", "mixed-integer-float", "decimal"):
        return values.astype(np.float64 if kind in ("floating", "mixed-integer-float", "decimal") else np.int64)
    if kind in ("string", "empty"):
        return values
    if kind in ("mixed", "mixed-integer"):
        types = sorted({type(value).__name__ for value in values})
        raise UserError(f"'{name}' mixes values of the types {', '.join(types)}; make them all text or all numbers.")
    return np.array([str(value) for value in values], object)


def from_text(cells):
    """Turns a column of text into integers where every value is written as one ("7", not "07"), else leaves it text.

    A gap (None) makes no difference to the choice and stays a gap.
    """
    import pandas

    codes, distinct = pandas.factorize(pandas.Series(cells, dtype="str"))
    distinct = np.asarray(distinct, object)
    if len(distinct) and pandas.Series(distinct, dtype="str").str.fullmatch(r"0|-?[1-9][0-9]{0,17}").all():
        distinct = distinct.astype(np.int64)
    if (codes < 0).any():
        return np.append(distinct.astype(object), [None])[codes]
    return distinct[codes]


def vocabulary_of(values):
    """The distinct values of a column, sorted: int64, float64 or unicode."""
    import pandas

    distinct = np.asarray(pandas.unique(values))
    return np.sort(distinct.astype(str) if distinct.dtype.kind == "O" else distinct)


def look_up(values, vocabulary):
    """int32 [n]: one plus the place of each value in the vocabulary, 0 where it is not there."""
    import pandas

    if vocabulary.dtype.kind == "U":
        vocabulary, values = vocabulary.astype(object), np.asarray(values, object)
    return (pandas.Index(vocabulary).get_indexer(pandas.Index(values)) + 1).astype(np.int32)


def with_unknown(vocabulary):
    """The vocabulary with a value for index 0 in front: -1 for numbers, the empty string for text."""
    vocabulary = np.asarray(vocabulary)
    unknown = "" if vocabulary.dtype.kind == "U" else -1
    return np.concatenate([np.array([unknown], vocabulary.dtype), vocabulary])
