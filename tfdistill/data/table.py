"""Interactions from a table of the user's own: CSV, TSV or Parquet."""

import numpy as np

from tfdistill.data.fields import check_choice
from tfdistill.data.interactions import FeatureSpec, Interactions, refuse_missing
from tfdistill.data.table_columns import as_ids, as_labels, as_lists, as_numbers, as_times
from tfdistill.data.table_file import read_columns
from tfdistill.data.values import counted, missing_cells, plain
from tfdistill.errors import UserError


def read_table(
    path,
    *,
    user,
    item,
    label=None,
    rating=None,
    positive_above=None,
    drop_ratings=(),
    time=None,
    features=(),
    feedback="explicit",
):
    """Reads interactions from a file with a row per interaction.

    The two id fields are named "user" and "item" whatever their columns are called. In a CSV or TSV file an empty cell,
    `NaN`, `nan`, `NULL` and `null` are missing, and ids and categories that are all written as whole numbers become integers.

    Args:
        path: a .csv, .tsv (either may end in .gz) or .parquet file with a header.
        user, item: columns of the ids.
        label: column of 0 and 1 (or of true and false). Exactly one of `label` and `rating`.
        rating: column of numbers.
        positive_above: with `rating`: ratings above it are label 1.
        drop_ratings: with `rating`: rows with these ratings are left out.
        time: column of numbers or of ISO dates.
        features: `FeatureSpec`s. A feature of the user (item) must have one value per user (item).
        feedback: "implicit" for rows that say what was chosen: neither `label` nor `rating` is needed, and all labels may be
            equal. Without both, all are 1.

    Returns:
        `Interactions`; `example_id` is the row in the file, from 0, header not counted.

    Raises:
        UserError: on anything in the file that cannot be meant, with the column, the line and the way out.

    >>> age = FeatureSpec("age", of="user", kind="numeric")
    >>> read_table("clicks.csv", user="user_id", item="item_id", label="clicked", features=[age]).positive_share
    0.25
    """
    features = tuple(features)
    _check_arguments(label, rating, positive_above, drop_ratings, features, feedback)
    answer = label or rating
    wanted = [
        user,
        item,
        *([answer] if answer else []),
        *([time] if time else []),
        *(spec.source_column for spec in features),
    ]
    table = read_columns(path, wanted)
    columns, place = table.columns, table.place

    kept, labels = _labels(label, rating, positive_above, drop_ratings, table)
    if feedback == "explicit":
        _refuse_one_class(labels, answer, positive_above, table.name)

    ids = {}
    for of, column in (("user", user), ("item", item)):
        missing = missing_cells(columns[column])
        if missing.any():
            raise UserError(
                f"{table.name}: {counted(int(missing.sum()), 'id is', 'ids are')} missing in column '{column}', first at "
                f"{place(int(missing.argmax()))}. Drop those rows."
            )
        ids[of] = as_ids(columns[column], table)[kept]
    times = None
    if time:
        times = as_times(columns[time], time, table)[kept]

    frames = _feature_frames(features, columns, ids, kept, table)
    return Interactions(
        user=ids["user"],
        item=ids["item"],
        label=labels.astype(np.float32),
        time=times,
        users=frames["user"],
        items=frames["item"],
        context=frames["context"],
        features=features,
        source=table.name,
        example_id=kept.astype(np.int64),
    )


def _labels(label, rating, positive_above, drop_ratings, table):
    """(rows that stay [m], their labels [m])."""
    columns, place = table.columns, table.place
    if label is None and rating is None:
        return np.arange(len(columns)), np.ones(len(columns))
    values = as_labels(columns[label], label, table) if label else as_numbers(columns[rating], rating, table)
    _refuse_gaps(values, label or rating, table)
    if label is None:
        kept = np.flatnonzero(~np.isin(values, np.asarray(list(drop_ratings), np.float64)))
        if not len(kept):
            raise UserError(f"{table.name}: `drop_ratings` {list(drop_ratings)} leaves no row of {len(values):,}.")
        return kept, values[kept] > positive_above
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(
            f"{table.name}: {counted(int(wrong.sum()), 'label', 'labels')} in column '{label}' must be 0 or 1, first "
            f"{values[first]:g} at {place(first)}. For ratings name the column as `rating` and set `positive_above`."
        )
    return np.arange(len(values)), values


def _check_arguments(label, rating, positive_above, drop_ratings, features, feedback):
    check_choice("feedback", feedback, ("explicit", "implicit"))
    if label is not None and rating is not None or (label is rating is None and feedback == "explicit"):
        raise UserError(
            f"data.columns: name exactly one of label and rating. Received: label={label!r}, rating={rating!r}."
        )
    if rating is not None and positive_above is None:
        raise UserError("data.positive_above: a rating column needs it; ratings above it become label 1.")
    if rating is None and (positive_above is not None or len(drop_ratings)):
        raise UserError(
            "data.positive_above and data.drop_ratings go with a rating column; remove them or name `rating`."
        )
    for spec in features:
        if not isinstance(spec, FeatureSpec):
            raise TypeError(f"Received an invalid value in `features`, expected a FeatureSpec. Received: {spec!r}")


def _refuse_gaps(values, column, table):
    missing = np.isnan(values)
    if missing.any():
        raise UserError(
            f"{table.name}: {counted(int(missing.sum()), 'value is', 'values are')} missing in column '{column}', first at "
            f"{table.place(int(missing.argmax()))}. Drop those rows."
        )


def _refuse_one_class(labels, column, positive_above, name):
    if labels.min() != labels.max():
        return
    way_out = (
        "bring rows of both classes" if positive_above is None else f"change `positive_above` ({positive_above:g})"
    )
    raise UserError(f"{name}: all {len(labels):,} labels from column '{column}' are {labels[0]:g}; {way_out}.")


def _feature_frames(features, columns, ids, kept, table):
    """{"user", "item", "context"}: a DataFrame of the features of each."""
    import pandas

    frames = {}
    for of in ("user", "item", "context"):
        specs = [spec for spec in features if spec.of == of]
        if of == "context":
            rows, index = kept, None
        else:
            codes, index = pandas.factorize(ids[of])
            first = np.empty(len(index), np.int64)
            first[codes[::-1]] = kept[::-1]  # the last write wins, so each id ends with its first row
            for spec in specs:
                _refuse_differing(columns[spec.source_column], spec, ids[of], codes, first, kept, table)
            rows = first
        cells = {}
        for spec in specs:
            column = columns[spec.source_column].iloc[rows]
            refuse_missing(column, spec, table.name, lambda position, rows=rows: table.place(rows[position]))
            cells[spec.name] = _parsed(column, spec, rows, table)
        frames[of] = pandas.DataFrame(cells, index=index if index is not None else pandas.RangeIndex(len(kept)))
    return frames


def _parsed(column, spec, rows, table):
    if spec.kind == "numeric":
        return as_numbers(column, spec.source_column, table, rows)
    if spec.kind == "bag":
        return as_lists(column, spec, table)
    return as_ids(column, table)


def _refuse_differing(column, spec, ids, codes, first, kept, table):
    """Raises where a feature of the user (item) has two values for one user (item)."""
    import pandas

    if spec.kind == "bag" and not table.is_text:
        column = column.map(lambda cell: repr(list(cell)) if isinstance(cell, (list, np.ndarray)) else cell)
    value = pandas.factorize(column)[0]
    differs = value[kept] != value[first][codes]
    if not differs.any():
        return
    row = int(differs.argmax())
    one, other = first[codes[row]], kept[row]
    shown = ["nothing" if value[place] < 0 else repr(plain(column.iloc[place])) for place in (one, other)]
    count = len(np.unique(codes[differs]))
    raise UserError(
        f"{table.name}: column '{spec.source_column}' is declared a feature of the {spec.of}, but {spec.of} "
        f"{plain(ids[row])!r} has {shown[0]} at {table.place(one)} and {shown[1]} at {table.place(other)} "
        f"({counted(count, f'{spec.of} differs', f'{spec.of}s differ')}). "
        f"Mend the rows, or declare '{spec.name}' `of: context`."
    )
