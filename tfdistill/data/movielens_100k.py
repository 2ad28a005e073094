"""MovieLens-100K."""

import numpy as np

from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.movielens_files import first_bad_line, matched_lines, movielens_folder
from tfdistill.data.ratings import labels_of_ratings
from tfdistill.errors import UserError

MD5 = "0e33842e24a9c977be4e0107933c0723"
FILES = ("u.data", "u.user", "u.item")
# In the order of the columns of u.item, as the release's README lists them.
GENRES = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
FEATURES = (
    FeatureSpec("gender", of="user", kind="categorical"),
    FeatureSpec("age", of="user", kind="numeric"),
    FeatureSpec("occupation", of="user", kind="categorical"),
    FeatureSpec("release_year", of="item", kind="categorical", missing="unknown"),
    FeatureSpec("genres", of="item", kind="bag"),
)


def movielens_100k(path=None, cache=None, progress=None, labels="clicks"):
    """Reads MovieLens-100K (Harper and Konstan, 2015): 100,000 ratings of 943 users and 1,682 movies, with Unix times.

    Fields: user, movie, gender, age (a number, in years), occupation, release_year (unknown for one movie), genres.

    Args:
        path: a folder with u.data, u.user and u.item. None reads the copy in the cache, downloaded first from grouplens.org
            (5 MB) where there is none.
        cache: folder for downloads, by default ~/.cache/tfdistill.
        progress: function of (bytes so far, bytes in all or None), called while it downloads.
        labels: "clicks": label 1 where the rating is above 3, rows with rating 3 left out; "all": every rating is a choice,
            label 1; a number: label 1 from that rating on.

    Returns:
        `Interactions`, in the order of u.data; `example_id` is its line, from 0.

    Raises:
        UserError: where the folder lacks a file, a line is damaged, or the download fails.
        ValueError: on unknown `labels`.

    >>> len(movielens_100k("ml-100k")), len(movielens_100k("ml-100k", labels="all"))
    (72855, 100000)
    """
    folder = movielens_folder("ml-100k", MD5, FILES, path, cache, progress)
    user, item, rating, time = _read_ratings(folder / "u.data")
    rows, label = labels_of_ratings(rating, labels)
    return Interactions(
        user=user[rows],
        item=item[rows],
        label=label,
        time=time[rows],
        users=_read_users(folder / "u.user"),
        items=_read_movies(folder / "u.item"),
        features=FEATURES,
        source="MovieLens-100K",
        example_id=rows,
        item_name="movie",
    )


def _read_ratings(path):
    """(user, movie, rating, time), each int64 [100,000]."""
    import pandas

    try:
        table = pandas.read_csv(path, sep="\t", header=None, names=range(4), dtype=np.int64, index_col=False)
    except (ValueError, pandas.errors.ParserError) as problem:
        raise first_bad_line(path, r"\d+\t\d+\t\d+\t\d+", "user<tab>movie<tab>rating<tab>time") or UserError(
            f"{path}: the file cannot be read ({problem})."
        ) from problem
    return tuple(table[column].to_numpy() for column in range(4))


def _read_users(path):
    import pandas

    rows = matched_lines(path, r"(\d+)\|(\d+)\|([MF])\|([^|]+)\|.*", "user|age|gender|occupation|zip")
    columns = {
        "gender": np.array([row[2] for row in rows], object),
        "age": np.array([int(row[1]) for row in rows]),
        "occupation": np.array([row[3] for row in rows], object),
    }
    return pandas.DataFrame(columns, index=[int(row[0]) for row in rows])


def _read_movies(path):
    import pandas

    form = r"(\d+)\|[^|]*\|(?:\d+-\w+-(\d{4}))?\|[^|]*\|[^|]*((?:\|[01]){19})"
    rows = matched_lines(path, form, "movie|title|release date|video date|url|19 genres of 0 or 1")
    columns = {
        "release_year": pandas.array([int(row[1]) if row[1] else None for row in rows], "Int64"),
        "genres": [
            [genre for genre, flag in zip(GENRES, row[2].split("|")[1:], strict=True) if flag == "1"] for row in rows
        ],
    }
    return pandas.DataFrame(columns, index=[int(row[0]) for row in rows])
