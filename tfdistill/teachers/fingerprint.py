"""The identity of a teacher on disk."""

from pathlib import Path

from tfdistill import files
from tfdistill.errors import UserError


def fingerprint(path):
    """Returns a sha256, as hexadecimal text, of a file's bytes, or of all files of a folder and their relative paths.

    It does not depend on where the file or folder lies, nor on times and permissions.

    Raises:
        UserError: where there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"No teacher at '{path}'. Pass an existing .keras file or SavedModel folder.")
    return files.fingerprint(path)
