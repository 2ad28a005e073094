"""Labelled images: which pixels, which class, which part."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tfdistill.data.fields import check_choice
from tfdistill.data.random_streams import generator
from tfdistill.errors import UserError
from tfdistill.files import atomic_path

PARTS = ("train", "validation", "test", "unlabelled")
WHITE = 255.0
FORMAT = 1


@dataclass(eq=False)
class ImageDataset:
    """Images in memory, one byte a pixel and channel, with the parts that they belong to.

    Attributes:
        images: uint8 [n, height, width, channels].
        label: int32 [n], the class, from 0.
        split: int8 [n], 0 train, 1 validation, 2 test, 3 unlabelled: images of the training part whose class nobody is told.
        classes: number of classes.
        example_id: int64 [n], stable row numbers of the source.
        source: where the images came from.

    >>> images, label = np.zeros((3, 28, 28, 1), np.uint8), np.array([0, 1, 1], np.int32)
    >>> dataset = ImageDataset(images, label, np.array([0, 1, 2], np.int8), 2, np.arange(3), "three images")
    >>> dataset.inputs(dataset.rows("test"))["image"].shape
    (1, 28, 28, 1)
    """

    images: np.ndarray
    label: np.ndarray
    split: np.ndarray
    classes: int
    example_id: np.ndarray
    source: str = "images"

    task: ClassVar[str] = "classification"

    def __len__(self):
        return len(self.label)

    def rows(self, part):
        """int64 row numbers of "train", "validation", "test" or "unlabelled"."""
        check_choice("part", part, PARTS)
        return np.flatnonzero(self.split == PARTS.index(part))

    def inputs(self, rows):
        """{"image": float32 [len(rows), height, width, channels]}, from 0 to 1, as a model takes them."""
        return {"image": self.images[rows].astype(np.float32) / np.float32(WHITE)}

    def raw_inputs(self, rows):
        """As `inputs`, with the bytes' own values: from 0 to 255."""
        return {"image": self.images[rows].astype(np.float32)}

    def summary(self):
        """Counts that describe the data, ready for JSON."""
        counts = {part: int((self.split == number).sum()) for number, part in enumerate(PARTS)}
        return {"rows": len(self), **counts, "classes": self.classes, "image": list(self.images.shape[1:])}

    def save(self, path):
        """Writes the data set to one .npz file, atomically and without pickle; equal data gives equal bytes."""
        about = {"format": FORMAT, "classes": self.classes, "source": self.source}
        arrays = {name: getattr(self, name) for name in ("images", "label", "split", "example_id")}
        with atomic_path(Path(path)) as temporary:
            np.savez_compressed(temporary, **arrays, **{name: np.array(value) for name, value in about.items()})

    @staticmethod
    def load(path):
        """Reads a data set written by `save`; a file that is damaged or not one raises a UserError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if arrays.pop("format").item() != FORMAT:
                raise ValueError("of another format")
            about = {name: arrays.pop(name).item() for name in ("classes", "source")}
            return ImageDataset(**arrays, **about)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as problem:
            raise UserError(
                f"'{path}' is missing, damaged or not a data set of tfdistill ({type(problem).__name__}: {problem}). "
                "Delete it and read the images again."
            ) from problem


def image_expander(dataset):
    """Returns a function that turns columns {image_row, ...} of tensors into a model's inputs, inside tf.data.

    The images are gathered and scaled a batch at a time, so that an epoch holds one number a row. Columns of other names
    (such as cached teacher logits) pass through.

    >>> image_expander(dataset)({"image_row": tf.constant([0, 2])})["image"].shape
    TensorShape([2, 28, 28, 1])
    """
    import tensorflow as tf

    images = tf.constant(dataset.images)

    def expand(columns):
        columns = dict(columns)
        rows = columns.pop("image_row")
        return {"image": tf.cast(tf.gather(images, rows), tf.float32) / WHITE, **columns}

    return expand


def split_images(training, test, *, validation, labelled=None, seed=0):
    """Which images train, validate, test, and which of those for training lose their label.

    Args:
        training: number of images of the official training part, which come first.
        test: number of images of the official test part.
        validation: share of the training part that is for validation.
        labelled: how many images keep their label in training; None: all that are not for validation.
        seed: non-negative integer; for the same seed fewer labelled images are among the more.

    Returns: int8 [training + test], see `ImageDataset`.

    Raises:
        UserError: where a part is empty or there are fewer images than are to be labelled.

    >>> np.bincount(split_images(10, 3, validation=0.2, labelled=5, seed=1))
    array([5, 2, 3, 3])
    """
    order = generator("image split", seed).permutation(training)
    held_back = round(training * validation)
    rest = training - held_back
    if not 0 < held_back < training:
        raise UserError(f"data.split.validation: {validation:g} of {training:,} training images leaves a part empty.")
    if labelled is not None and labelled > rest:
        raise UserError(
            f"data.labelled: expected at most {rest:,}, the training images that are not for validation, received "
            f"{labelled:,}."
        )
    parts = np.full(training + test, PARTS.index("test"), np.int8)
    parts[order[:rest]] = PARTS.index("train")
    if labelled is not None:
        parts[order[labelled:rest]] = PARTS.index("unlabelled")
    parts[order[rest:]] = PARTS.index("validation")
    return parts
