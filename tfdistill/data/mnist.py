"""MNIST: 70,000 handwritten digits of 28 x 28 pixels."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tfdistill.data.download import download_files
from tfdistill.data.images import ImageDataset, split_images
from tfdistill.errors import UserError

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
FILES = tuple(MD5)
ONE_FILE = "mnist.npz"  # how Keras distributes the same images
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CLASSES = 10
UNSIGNED_BYTE = 8


def mnist(path=None, cache=None, progress=None, *, validation=0.1, labelled=None, seed=0):
    """Reads MNIST (LeCun et al., 1998): 60,000 images for training and validation, 10,000 of the official test part.

    Args:
        path: a folder with the four idx files (`FILES`), or with mnist.npz as Keras distributes it. None reads the copy
            in the cache, downloaded first (12 MB) where there is none.
        cache: folder for downloads, by default ~/.cache/tfdistill.
        progress: function of (bytes so far, bytes in all or None), called while it downloads.
        validation: share of the training part that is for validation.
        labelled: how many training images keep their label; None: all.
        seed: non-negative integer, for the choice of both.

    Returns: an `ImageDataset`; `example_id` is the place in the training file, that of test images follows.

    Raises:
        UserError: where the folder lacks a file, a file is damaged, or the download fails.

    >>> len(mnist("mnist"))
    70000
    """
    if path is None:
        cache = Path(cache).expanduser() if cache else Path.home() / ".cache" / "tfdistill"
        folder = download_files(cache / "mnist", URL, MD5, progress=progress)
    else:
        folder = Path(path).expanduser()
    if not holds_mnist(folder):
        raise UserError(
            f"data.path: '{folder}' has neither {ONE_FILE} nor all of {', '.join(FILES)}; pass the folder of MNIST."
        )
    if (folder / FILES[0]).is_file():
        arrays = [_read_idx(folder / name) for name in FILES]
    else:
        arrays = _read_npz(folder / ONE_FILE)
    (images, label), (test_images, test_label) = (_checked(folder, *arrays[k : k + 2]) for k in (0, 2))
    if test_images.shape[1:] != images.shape[1:]:
        raise UserError(f"'{folder}': training images of {images.shape[1:]}, test images of {test_images.shape[1:]}.")
    return ImageDataset(
        images=np.concatenate([images, test_images])[..., None],
        label=np.concatenate([label, test_label]).astype(np.int32),
        split=split_images(len(label), len(test_label), validation=validation, labelled=labelled, seed=seed),
        classes=CLASSES,
        example_id=np.arange(len(label) + len(test_label), dtype=np.int64),
        source="MNIST",
    )


def holds_mnist(folder):
    """Whether a folder has the four idx files, or mnist.npz."""
    return (Path(folder) / ONE_FILE).is_file() or all((Path(folder) / name).is_file() for name in FILES)


def _read_idx(path):
    """The uint8 array of a gzipped idx file: 0, 0, type, number of dimensions, each of them, the bytes."""
    try:
        with gzip.open(path) as file:
            content = file.read()
        zero, kind, dimensions = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
        if (zero, kind) != (0, UNSIGNED_BYTE):
            raise ValueError("no idx file of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as problem:
        raise UserError(f"{path}: the file is damaged ({problem}); download MNIST again.") from problem


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in ARRAYS]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as problem:
        raise UserError(f"{path}: the file is damaged ({problem}); download MNIST again.") from problem


def _checked(folder, images, label):
    if images.ndim != 3 or images.dtype != np.uint8 or label.shape != images.shape[:1] or not len(label):
        raise UserError(
            f"'{folder}': expected as many labels as images of bytes, found images {images.dtype} {images.shape} and labels "
            f"{label.shape}; download MNIST again."
        )
    if label.max() >= CLASSES:
        raise UserError(f"'{folder}': expected labels from 0 to {CLASSES - 1}, found {label.max()}.")
    return images, label
