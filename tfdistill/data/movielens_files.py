"""Folders and lines of the MovieLens releases."""

import re
from pathlib import Path

from tfdistill.data.download import download_folder
from tfdistill.errors import UserError

URL = "https://files.grouplens.org/datasets/movielens/"


def movielens_folder(name, md5, files, path, cache, progress):
    """The folder with the files of a MovieLens release: `path`, or the copy in the cache, downloaded where there is none.

    Raises:
        UserError: where the folder lacks a file, or the download fails.
    """
    if path is None:
        cache = Path(cache).expanduser() if cache else Path.home() / ".cache" / "tfdistill"
        folder = download_folder(
            cache / name, f"{URL}{name}.zip", md5, members={f"{name}/{file}": file for file in files}, progress=progress
        )
    else:
        folder = Path(path).expanduser()
    for file in files:
        if not (folder / file).is_file():
            raise UserError(
                f"data.path: no {file} in '{folder}'; pass the folder of {name} that holds {', '.join(files)}."
            )
    return folder


def matched_lines(path, pattern, layout):
    """The groups of every line of a small file; a line of another form raises a UserError."""
    with open(path, encoding="latin-1") as file:
        rows = [re.fullmatch(pattern, line.rstrip("\n")) for line in file]
    if None in rows:
        raise _bad_line(path, rows.index(None) + 1, layout)
    return [row.groups() for row in rows]


def first_bad_line(path, pattern, layout):
    """A UserError for the first line that does not match, `None` where all do."""
    with open(path, encoding="latin-1") as file:
        for number, line in enumerate(file, 1):
            if not re.fullmatch(pattern, line.rstrip("\n")):
                return _bad_line(path, number, layout)


def _bad_line(path, number, layout):
    return UserError(f"{path}: line {number:,} is not of the form {layout}; download the data again.")
