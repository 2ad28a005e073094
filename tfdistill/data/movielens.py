"""MovieLens-1M."""

import numpy as np

from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.movielens_files import first_bad_line, matched_lines, movielens_folder
from tfdistill.data.ratings import labels_of_ratings
from tfdistill.errors import UserError

MD5 = "c4d9eecfca2ab87c1945afe126590906"
FILES = ("ratings.dat", "users.dat", "movies.dat")
FEATURES = (
    FeatureSpec("gender", of="user", kind="categorical"),
    FeatureSpec("age", of="user", kind="categorical"),
    FeatureSpec("occupation", of="user", kind="categorical"),
    FeatureSpec("release_year", of="item", kind="categorical"),
    FeatureSpec("genres", of="item", kind="bag"),
)


def movielens_1m(path=None, cache=None, progress=None, labels="clicks"):
    """Reads MovieLens-1M (Harper and Konstan, 2015), by default as click-through data.

    Label 1 where the rating is above 3, rows with rating 3 left out: 739,012 rows remain. Fields: user, movie, gender, age,
    occupation, release_year (from the title), genres. `time` is the position of a rating among the user's own, from 0,
    counted before rows are left out.

    Args:
        path: a folder with ratings.dat, users.dat and movies.dat. None reads the copy in the cache, downloaded first from
            grouplens.org (6 MB) where there is none.
        cache: folder for downloads, by default ~/.cache/tfdistill.
        progress: function of (bytes so far, bytes in all or None), called while it downloads.
        labels: "clicks" as said; "all": every rating is a choice, label 1; a number: label 1 from that rating on.

    Returns:
        `Interactions`, sorted by user and time; `example_id` is the line of ratings.dat, from 0.

    Raises:
        UserError: where the folder lacks a file, a line is damaged, or the download fails.

    >>> len(movielens_1m("ml-1m")), len(movielens_1m("ml-1m", labels="all"))
    (739012, 1000209)
    """
    folder = movielens_folder("ml-1m", MD5, FILES, path, cache, progress)
    user, item, rating, time = _read_ratings(folder / "ratings.dat")
    users, items = _read_users(folder / "users.dat"), _read_movies(folder / "movies.dat")

    # The official file and copies of it order the rows of a user differently; by time they agree.
    order = np.lexsort((time, user))
    first = np.flatnonzero(np.diff(user[order], prepend=-1))
    position = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    kept, label = labels_of_ratings(rating[order], labels)
    rows = order[kept]
    return Interactions(
        user=user[rows],
        item=item[rows],
        label=label,
        time=position[kept],
        users=users,
        items=items,
        features=FEATURES,
        source="MovieLens-1M",
        example_id=rows,
        item_name="movie",
        time_scope="user",
    )


def _read_ratings(path):
    """(user, movie, rating, time), each int64 [1,000,209]."""
    import pandas

    try:
        # A single ":" leaves an empty column between any two, and pandas' fast parser takes it (it takes no "::").
        table = pandas.read_csv(path, sep=":", header=None, names=range(7), usecols=[0, 2, 4, 6], dtype=np.int64)
    except (ValueError, pandas.errors.ParserError) as problem:
        raise first_bad_line(path, r"\d+::\d+::\d+::\d+", "user::movie::rating::time") or UserError(
            f"{path}: the file cannot be read ({problem})."
        ) from problem
    return tuple(table[column].to_numpy() for column in (0, 2, 4, 6))


def _read_users(path):
    import pandas

    rows = matched_lines(path, r"(\d+)::([MF])::(\d+)::(\d+)::.*", "user::gender::age::occupation::zip")
    index = [int(row[0]) for row in rows]
    columns = {
        "gender": np.array([row[1] for row in rows], object),
        "age": np.array([int(row[2]) for row in rows]),
        "occupation": np.array([int(row[3]) for row in rows]),
    }
    return pandas.DataFrame(columns, index=index)


def _read_movies(path):
    import pandas

    rows = matched_lines(path, r"(\d+)::.*\((\d{4})\)\s*::(.*)", "movie::title (year)::genres")
    index = [int(row[0]) for row in rows]
    columns = {"release_year": [int(row[1]) for row in rows], "genres": [row[2].split("|") for row in rows]}
    return pandas.DataFrame(columns, index=index)
