"""The MovieLens releases in CSV files: 20M, 25M, 32M, latest and latest-small."""

import numpy as np

from tfdistill.data.fields import check_choice
from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.movielens_files import first_bad_line, movielens_folder
from tfdistill.data.ratings import labels_of_ratings
from tfdistill.data.table_columns import as_numbers
from tfdistill.data.table_file import read_columns
from tfdistill.errors import UserError

# "latest" and "latest-small" change from time to time, so they have no checksum to be downloaded by.
MD5 = {
    "ml-20m": "cd245b17a1ae2cc31bb14903e1204af3",
    "ml-25m": "6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-32m": "d472be332d4daa821edc399621853b57",
}
FILES = ("ratings.csv", "movies.csv")
FORM = (r"\d+,\d+,\d+(\.\d+)?,\d+|userId,movieId,rating,timestamp", "userId,movieId,rating,timestamp")
NO_GENRES = "(no genres listed)"
FEATURES = (
    FeatureSpec("release_year", of="item", kind="categorical", missing="unknown"),
    FeatureSpec("genres", of="item", kind="bag"),
)


def movielens_csv(path=None, cache=None, progress=None, labels="clicks", release="ml-25m"):
    """Reads a MovieLens release in CSV files (Harper and Konstan, 2015): 20M, 25M, 32M, latest, latest-small.

    Fields: user, movie, release_year (from the title, unknown where it has none), genres. Times are Unix times, ratings go
    from .5 to 5 in halves.

    Args:
        path: a folder with ratings.csv and movies.csv. None reads the copy of `release` in the cache, downloaded first from
            grouplens.org where there is none (25M: 262 MB).
        cache: folder for downloads, by default ~/.cache/tfdistill.
        progress: function of (bytes so far, bytes in all or None), called while it downloads.
        labels: "clicks": label 1 where the rating is above 3, rows with rating 3 left out; "all": every rating is a choice,
            label 1; a number: label 1 from that rating on.
        release: what to download, "ml-20m", "ml-25m" or "ml-32m".

    Returns:
        `Interactions`, in the order of ratings.csv; `example_id` is its row, from 0, header not counted.

    Raises:
        UserError: where the folder lacks a file, a line is damaged, or the download fails.
        ValueError: on unknown `labels` or `release`.

    >>> len(movielens_csv("ml-25m", labels="all"))
    25000095
    """
    check_choice("release", release, tuple(MD5))
    folder = movielens_folder(release if path is None else "MovieLens", MD5[release], FILES, path, cache, progress)
    user, item, rating, time = _read_ratings(folder / "ratings.csv")
    rows, label = labels_of_ratings(rating, labels)
    if len(rows) < len(user):
        user, item, time = user[rows], item[rows], time[rows]
    return Interactions(
        user=user,
        item=item,
        label=label,
        time=time,
        items=_read_movies(folder / "movies.csv"),
        features=FEATURES,
        source="MovieLens" if path is None else str(path),
        example_id=rows,
        item_name="movie",
    )


def _read_ratings(path):
    """(user int64, movie int64, rating float32, time int64), each [n]."""
    import pyarrow
    from pyarrow import csv

    types = {
        "userId": pyarrow.int64(),
        "movieId": pyarrow.int64(),
        "rating": pyarrow.float32(),
        "timestamp": pyarrow.int64(),
    }
    options = csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[])
    try:
        table = csv.read_csv(path, convert_options=options)
    except (pyarrow.ArrowException, OSError, KeyError) as problem:
        raise first_bad_line(path, *FORM) or UserError(f"{path}: the file cannot be read ({problem}).") from problem
    columns = tuple(table[name].to_numpy() for name in types)
    if not np.isfinite(columns[2]).all():
        raise first_bad_line(path, *FORM)
    return columns


def _read_movies(path):
    import pandas

    table = read_columns(path, ["movieId", "title", "genres"])
    columns = table.columns
    year = columns["title"].str.extract(r"\((\d{4})\)\s*$", expand=False)
    texts = {text: [] if text == NO_GENRES else text.split("|") for text in columns["genres"].dropna().unique()}
    genres = np.empty(len(columns), object)
    genres[:] = [texts.get(text) for text in columns["genres"]]
    return pandas.DataFrame(
        {"release_year": pandas.array(pandas.to_numeric(year), "Int64"), "genres": genres},
        index=as_numbers(columns["movieId"], "movieId", table).astype(np.int64),
    )
