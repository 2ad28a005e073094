"""The file of rankings: arrays and what they are, with checksums, in one .npz."""

import hashlib
import json
from pathlib import Path

import numpy as np

from tfdistill import files
from tfdistill.errors import UserError

FORMAT, VERSION = "tfdistill rankings", 1
MANIFEST = "manifest"
ARRAYS = ("items", "scores")


def write(path, arrays, described):
    """Writes {name: array} and a dict for JSON, atomically.

    Raises:
        ValueError: for a name that does not end with .npz.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"`path` must end with .npz. Received: path='{path}'")
    manifest = {"format": FORMAT, "version": VERSION, "contents": described}
    manifest["sha256"] = _checksum(arrays, described)
    with files.atomic_path(path) as temporary:
        np.savez(temporary, **arrays, **{MANIFEST: json.dumps(manifest)})


def read(path):
    """The arrays and the dict of a file.

    Raises:
        UserError: where there is none, where it is damaged, and for another format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"No rankings at '{path}'. Write them with tfdistill.soft_targets.write_rankings.")
    try:
        with np.load(path, allow_pickle=False) as file:
            manifest = json.loads(str(file[MANIFEST])) if MANIFEST in file.files else None
            is_ours = isinstance(manifest, dict) and manifest.get("format") == FORMAT
            is_read = is_ours and manifest.get("version") == VERSION
            arrays = {name: file[name] for name in ARRAYS} if is_read else None
    except Exception as error:  # a damaged zip raises a dozen kinds: BadZipFile, TokenError, NotImplementedError, ...
        raise UserError(f"'{path}' is damaged, or no file of rankings. Delete it and rank again.") from error
    if not is_ours:
        raise UserError(f"'{path}' is no file of rankings. Choose another.")
    if not is_read:
        raise UserError(
            f"The rankings in '{path}' have format version {manifest.get('version')!r}, this tfdistill reads {VERSION}. Rank"
            " again with this version, or read them with the one that wrote them."
        )
    if manifest.get("sha256") != _checksum(arrays, manifest.get("contents")):
        raise UserError(f"'{path}' was changed: its checksum is wrong. Delete it and rank again.")
    return arrays, manifest["contents"]


def _checksum(arrays, described):
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, array in arrays.items():
        digest.update(f"{name}{array.dtype.name}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
