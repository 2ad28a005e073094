"""Public archives and files, fetched once, checked, and there whole or not at all."""

import hashlib
import http.client
import shutil
import urllib.request
import zipfile
from pathlib import Path

from tfdistill.errors import UserError
from tfdistill.files import atomic_folder

TIMEOUT_SECONDS = 30
CHUNK = 1 << 16


def download_folder(folder, url, md5, members, progress=None):
    """Returns `folder`, filled from a zip archive at `url` where it is not there yet.

    The archive is downloaded beside its final place, its checksum compared, and its members unpacked; only then does
    `folder` appear. Whatever fails leaves nothing behind.

    Args:
        folder: where the files are to be.
        url: address of the zip archive.
        md5: its checksum, in hexadecimal.
        members: {path in the archive: file name in `folder`}.
        progress: function of (bytes so far, bytes in all or None).

    Raises:
        UserError: where the network, the checksum or the archive fails.
    """
    folder = Path(folder)
    if all((folder / name).is_file() for name in members.values()):
        return folder
    with atomic_folder(folder) as temporary:
        archive = temporary / "archive.zip"
        _fetch_checked(url, archive, md5, progress)
        try:
            with zipfile.ZipFile(archive) as file:
                for member, name in members.items():
                    with file.open(member) as source, open(temporary / name, "wb") as target:
                        shutil.copyfileobj(source, target)
        except (zipfile.BadZipFile, KeyError) as problem:
            raise UserError(f"{url}: the archive cannot be unpacked ({problem}).") from problem
        archive.unlink()
    return folder


def download_files(folder, url, md5, progress=None):
    """Returns `folder`, filled with the files below `url` where they are not there yet; whatever fails leaves nothing.

    Args:
        folder: where the files are to be.
        url: address of the folder that holds them, with a slash at its end.
        md5: {file name: its checksum, in hexadecimal}.
        progress: function of (bytes so far, bytes in all or None), of one file after another.

    Raises:
        UserError: where the network or a checksum fails.
    """
    folder = Path(folder)
    if all((folder / name).is_file() for name in md5):
        return folder
    with atomic_folder(folder) as temporary:
        for name, expected in md5.items():
            _fetch_checked(url + name, temporary / name, expected, progress)
    return folder


def _fetch_checked(url, path, md5, progress):
    """Writes what is at `url` to `path`; raises UserError where its checksum is another."""
    received = _fetch(url, path, progress)
    if received != md5:
        raise UserError(
            f"{url}: the download has the md5 checksum {received}, expected {md5}. Try again, or pass a folder that holds "
            f"the data with `--set data.path=FOLDER`."
        )


def _fetch(url, path, progress):
    """Writes what is at `url` to `path` and returns its md5."""
    digest, so_far = hashlib.md5(usedforsecurity=False), 0
    with open(path, "wb") as file:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                total = response.headers.get("Content-Length")
                total = int(total) if total else None
                chunks = iter(lambda: response.read(CHUNK), b"")
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    so_far += len(chunk)
                    if progress:
                        progress(so_far, total)
        except (OSError, http.client.HTTPException) as problem:
            reason = getattr(problem, "reason", None) or problem
            raise UserError(
                f"{url} cannot be downloaded ({reason}). Connect to the network, or download and unpack it elsewhere and "
                f"pass the folder with `--set data.path=FOLDER`."
            ) from problem
    return digest.hexdigest()
