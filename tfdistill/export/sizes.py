"""How many bytes an exported file takes, as it lies and as it travels."""

import gzip
import io
import tarfile
from pathlib import Path

from tfdistill import files


class _Counter(io.RawIOBase):
    """A file that forgets what is written to it and keeps the count."""

    count = 0

    def writable(self):
        return True

    def write(self, content):
        self.count += len(content)
        return len(content)


def gzip_bytes(path):
    """Bytes of a file after gzip -9; of a folder, after tar and gzip -9.

    The archive is deterministic: files in the order of their paths, without times, owners and modes. What is counted
    is what a phone downloads, since stores and CDNs compress.
    """
    path = Path(path)
    counter = _Counter()
    with gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=9, mtime=0, filename="") as archive:
        if path.is_file():
            archive.write(path.read_bytes())
        else:
            with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for file in files.files_below(path):
                    entry = tarfile.TarInfo(file.relative_to(path).as_posix())
                    entry.size = file.stat().st_size
                    with open(file, "rb") as content:
                        tar.addfile(entry, content)
    return counter.count
