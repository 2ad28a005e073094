"""The columns of a CSV, TSV or Parquet file, read fast, with an exact account of what is wrong where it cannot be."""

import csv
import difflib
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfdistill.errors import UserError

if TYPE_CHECKING:
    import pandas

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")
NULLS = ["", "NaN", "nan", "NULL", "null"]


@dataclass
class TableFile:
    """Columns of a file and where its rows are.

    Attributes:
        columns: DataFrame; text where the file is text, else the file's own types.
        path: the file.
        separator: of a text file, None for Parquet.
    """

    columns: "pandas.DataFrame"
    path: Path
    separator: str | None

    @property
    def is_text(self):
        """Whether the values were read as text."""
        return self.separator is not None

    @property
    def name(self):
        """The path as it was given, for messages."""
        return str(self.path)

    def place(self, row):
        """Words for a row: its line in a text file, its number (from 1) in a Parquet file."""
        if not self.is_text:
            return f"row {row + 1:,}"
        # Lines are counted anew only when a message needs one: cells may span lines and empty lines count for nothing.
        for number, (line, _) in enumerate(_records(self.path, self.separator)):
            if number == row + 1:
                return f"line {line:,}"
        return f"row {row + 1:,}"


def read_columns(path, wanted):
    """Reads the columns named in `wanted` (a name may come twice) of a table file.

    Raises:
        UserError: on a missing, empty, ragged, damaged or unknown file, and on a missing column.
    """
    path = Path(path).expanduser()
    wanted = list(dict.fromkeys(wanted))
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if suffix not in SEPARATORS and suffix not in PARQUET:
        raise UserError(
            f"data.path: '{path}' is none of .csv, .csv.gz, .tsv, .tsv.gz and .parquet; convert or rename it."
        )
    if not path.is_file():
        raise UserError(f"data.path: no file '{path}'{_near_files(path)}.")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty.")
    separator = SEPARATORS.get(suffix)
    columns = _read_parquet(path, wanted) if separator is None else _read_text(path, separator, wanted)
    if not len(columns):
        raise UserError(f"{path}: the file has a header and no rows.")
    return TableFile(columns, path, separator)


def _read_text(path, separator, wanted):
    import pyarrow
    from pyarrow import csv as arrow_csv

    try:
        header = next(_records(path, separator))[1]
    except StopIteration:
        raise UserError(f"{path}: the file is empty.") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as problem:
        raise _damaged(path, problem) from problem
    _check_columns(path, wanted, header)
    try:
        table = arrow_csv.read_csv(
            path,
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pyarrow.string()),
                null_values=NULLS,
                strings_can_be_null=True,
            ),
        )
    except (pyarrow.ArrowInvalid, OSError) as problem:
        _refuse_ragged(path, separator, len(header))
        raise _damaged(path, problem) from problem
    return table.to_pandas()


def _read_parquet(path, wanted):
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, wanted, file.schema_arrow.names)
            return file.read(columns=wanted).to_pandas()
    except (pyarrow.ArrowInvalid, OSError) as problem:
        raise _damaged(path, problem) from problem


def _check_columns(path, wanted, present):
    for name in wanted:
        if present.count(name) > 1:
            raise UserError(f"{path}: the column '{name}' is there {present.count(name)} times; rename all but one.")
        if name not in present:
            near = difflib.get_close_matches(str(name), present, n=3, cutoff=0.5)
            nearest = f" Nearest: {', '.join(near)}." if near else ""
            listed = ", ".join(present[:20]) + (", ..." if len(present) > 20 else "")
            lone = " Cells are parted by commas in .csv and by tabs in .tsv files." if len(present) == 1 else ""
            raise UserError(f"{path}: no column '{name}'.{nearest} The columns are: {listed}.{lone}")


def _records(path, separator):
    """Yields (line where it begins, cells) of every record that is not empty, as the fast reader counts them."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        line = 1
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1


def _refuse_ragged(path, separator, expected):
    try:
        for line, cells in _records(path, separator):
            if len(cells) != expected:
                raise UserError(
                    f"{path}: line {line:,} has {len(cells)} cells, the header has {expected}. "
                    f"Mend the line; a cell that holds a separator or a line break must be quoted."
                )
    except (OSError, EOFError, UnicodeDecodeError, csv.Error):
        return


def _damaged(path, problem):
    if isinstance(problem, UnicodeDecodeError) or "UTF8" in str(problem):
        return UserError(f"{path}: the file is not UTF-8 text; save it as UTF-8.")
    return UserError(f"{path}: the file cannot be read ({problem}); write it again.")


def _near_files(path):
    if not path.parent.is_dir():
        return f" (there is no folder '{path.parent}')"
    near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=3)
    return f" (nearest: {', '.join(near)})" if near else ""
