"""Writing so that nothing is ever lost: a temporary name first, the real name when all of it is there."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path):
    """Yields a temporary path beside `path`; renames it to `path` on success and removes it on any failure.

    The temporary name keeps the suffix, since Keras and others choose the format by it.

    >>> with atomic_path("model.keras") as temporary:
    ...     model.save(temporary)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


@contextlib.contextmanager
def atomic_folder(path):
    """Yields a new temporary folder beside `path`; it takes the place of `path` on success and goes on any failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{uuid.uuid4().hex[:8]}-{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        remove(path)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(path):
    """Removes a file or a folder; does nothing where there is none."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sha256(path):
    """The sha256 of a file's bytes, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path):
    """A sha256 of a file's bytes, or of all files of a folder and their relative paths, as hexadecimal text.

    It does not depend on where the file or folder lies, nor on times and permissions.
    """
    path = Path(path)
    if path.is_file():
        return sha256(path)
    digest = hashlib.sha256()
    for relative, file in sorted((file.relative_to(path).as_posix(), file) for file in files_below(path)):
        digest.update(f"{sha256(file)} {relative}\n".encode())
    return digest.hexdigest()


def files_below(path):
    """The files of a folder (or the file itself), sorted by path."""
    path = Path(path)
    return [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if entry.is_file())


def size(path):
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in files_below(path))


def write_json(path, value):
    """Writes `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
