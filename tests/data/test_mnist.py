import functools
import gzip
import hashlib
import io
import struct
import sys

import numpy as np
import pytest

from tfdistill.data import mnist
from tfdistill.errors import UserError

MNIST = sys.modules["tfdistill.data.mnist"]
DOWNLOAD = sys.modules["tfdistill.data.download"]
# Two training images of 2 x 3 pixels and one test image, byte by byte as the idx format writes them.
CONTENTS = {
    "train-images-idx3-ubyte.gz": struct.pack(">4B3I", 0, 0, 8, 3, 2, 2, 3) + bytes(range(12)),
    "train-labels-idx1-ubyte.gz": struct.pack(">4BI", 0, 0, 8, 1, 2) + bytes([7, 9]),
    "t10k-images-idx3-ubyte.gz": struct.pack(">4B3I", 0, 0, 8, 3, 1, 2, 3) + bytes([255] * 6),
    "t10k-labels-idx1-ubyte.gz": struct.pack(">4BI", 0, 0, 8, 1, 1) + bytes([0]),
}
compressed = functools.partial(gzip.compress, mtime=0)  # the time of day is no part of a test
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(compressed(content))
    return folder


@pytest.fixture
def serve(monkeypatch):
    """Makes urlopen answer with the file of that name; returns the list of addresses asked for."""

    class Response(io.BytesIO):
        headers = {}

    def serve(folder):
        asked = []

        def urlopen(url, timeout):
            asked.append(url)
            return Response((folder / url.rpartition("/")[2]).read_bytes())

        monkeypatch.setattr(DOWNLOAD.urllib.request, "urlopen", urlopen)
        return asked

    return serve


def read(folder, **options):
    return mnist(folder, **{"validation": 0.5, **options})


def test_idx_files_are_read_byte_by_byte(folder):
    dataset = read(folder)
    assert dataset.images.shape == (3, 2, 3, 1)
    assert dataset.images[1, ..., 0].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert dataset.label.tolist() == [7, 9, 0]
    assert dataset.example_id.tolist() == [0, 1, 2]
    assert dataset.split[2] == 2 and sorted(dataset.split[:2]) == [0, 1]


def test_the_file_that_keras_distributes_holds_the_same(folder, tmp_path):
    arrays = {
        "x_train": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
        "y_train": np.array([7, 9], np.uint8),
        "x_test": np.full((1, 2, 3), 255, np.uint8),
        "y_test": np.array([0], np.uint8),
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    one, other = read(tmp_path), read(folder)
    for name in ("images", "label", "split", "example_id"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_real_mnist_has_the_published_numbers_of_digits(shared_data):
    dataset = mnist(shared_data("mnist"), validation=0.1, labelled=10_000, seed=1)
    test = np.bincount(dataset.label[dataset.rows("test")])
    assert test.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.label[:60_000]).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    ]
    summary = dataset.summary()
    assert [summary[part] for part in ("train", "validation", "test", "unlabelled")] == [10_000, 6_000, 10_000, 44_000]
    assert summary["image"] == [28, 28, 1] and summary["classes"] == 10


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_a_folder_without_one_of_the_files_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=r"data\.path: .* has neither mnist\.npz nor all of"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (IMAGES, b"no gzip", "the file is damaged"),
        (IMAGES, compressed(CONTENTS[IMAGES][:-1]), "the file is damaged"),
        (IMAGES, compressed(CONTENTS[IMAGES])[:-20], "the file is damaged"),
        (IMAGES, compressed(b"\0\0\x0d\x01" + bytes(4)), "no idx file of bytes"),
        (LABELS, compressed(struct.pack(">4BI", 0, 0, 8, 1, 1) + bytes([7])), "as many labels as images"),
        (LABELS, compressed(struct.pack(">4BI", 0, 0, 8, 1, 2) + bytes([7, 10])), "from 0 to 9, found 10"),
    ],
    ids=["no gzip", "a byte less", "cut off", "no bytes", "a label for two", "a class too many"],
)
def test_a_damaged_file_is_told_in_one_line(folder, name, content, told):
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=told) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_a_damaged_npz_is_told(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match="mnist.npz: the file is damaged"):
        read(tmp_path)


def test_a_download_is_checked_file_by_file_and_not_repeated(folder, tmp_path, serve, monkeypatch):
    checksums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in CONTENTS}
    monkeypatch.setattr(MNIST, "MD5", checksums)
    asked, cache = serve(folder), tmp_path / "cache"
    first, again = (mnist(cache=cache, validation=0.5) for _ in range(2))
    assert asked == [MNIST.URL + name for name in CONTENTS]
    np.testing.assert_array_equal(first.images, again.images)
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(CONTENTS)


def test_a_changed_file_is_refused_by_its_checksum_and_leaves_nothing(folder, tmp_path, serve):
    serve(folder)
    with pytest.raises(UserError, match="checksum .* expected f68b3c2dcbeaaa9fbdd348bbdeb94873"):
        mnist(cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
