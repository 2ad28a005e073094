"""The files of a cache: folders of .npy arrays, one folder a shard, read through memory maps."""

from pathlib import Path

import numpy as np

from tfdistill import files
from tfdistill.errors import UserError

EXAMPLE_ID, INPUT_SKETCH, LOGITS = "example_id", "input_sketch", "logits"
SHARD = "shard-"


def feature_column(number):
    """The name of the array that holds a feature: names of layers may hold what file names may not."""
    return f"feature_{number}"


def shard_folder(folder, number):
    return Path(folder) / f"{SHARD}{number:05d}"


def write_shard(folder, number, columns):
    """Writes {column: array [rows, ...]} as a shard, atomically, and returns its entry in the manifest."""
    checksums = {}
    with files.atomic_folder(shard_folder(folder, number)) as temporary:
        for name, values in columns.items():
            path = temporary / f"{name}.npy"
            np.save(path, values, allow_pickle=False)
            checksums[path.name] = files.sha256(path)
    return {"rows": len(columns[EXAMPLE_ID]), "sha256": checksums}


def damaged_file(folder, number, entry):
    """The first file of a shard that is not what the manifest says, or `None`."""
    for name, checksum in entry["sha256"].items():
        path = shard_folder(folder, number) / name
        if not path.is_file() or files.sha256(path) != checksum:
            return path
    return None


class Shards:
    """The rows of all shards as one, without reading them into memory.

    Args:
        folder: the cache.
        entries: the shards in its manifest.

    Raises:
        UserError: for an array that is missing, cut off, or not as long as the manifest says.
    """

    def __init__(self, folder, entries):
        self._parts = [_memory_maps(folder, number, entry) for number, entry in enumerate(entries)]
        self._starts = np.cumsum([0] + [entry["rows"] for entry in entries])

    def __len__(self):
        return int(self._starts[-1])

    def bytes(self, column):
        """Bytes of a column in all shards."""
        return sum(part[column].nbytes for part in self._parts)

    def all(self, column):
        """A column of all rows, in memory."""
        return np.concatenate([part[column] for part in self._parts])

    def take(self, column, rows):
        """A column of the given rows, int64 [n], in their order."""
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        first = self._parts[0][column]
        taken = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for number in np.unique(shard_of):
            here = shard_of == number
            taken[here] = self._parts[number][column][rows[here] - self._starts[number]]
        return taken

    def range(self, column, start, stop):
        """A column of the rows from `start` to `stop`."""
        return self.take(column, np.arange(start, stop))


def _memory_maps(folder, number, entry):
    arrays = {}
    for name in entry["sha256"]:
        path = shard_folder(folder, number) / name
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise damaged(path) from error
        if len(array) != entry["rows"]:
            raise damaged(path)
        arrays[path.stem] = array
    return arrays


def damaged(path):
    """The error that says so, to be raised."""
    return UserError(
        f"'{path}' is not the file that was written: it is missing, cut off or changed. Call write_soft_targets again "
        "with the same arguments, which replaces it, or delete the folder."
    )
