import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import ImageDataset, image_expander, split_images
from tfdistill.errors import UserError


@pytest.fixture
def dataset():
    images = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1) * 10
    split = np.array([0, 3, 1, 2, 0], np.int8)
    return ImageDataset(images, np.array([2, 0, 1, 2, 1], np.int32), split, 3, np.arange(5, dtype=np.int64), "five")


def test_inputs_are_from_0_to_1_and_raw_inputs_the_bytes(dataset):
    assert dataset.inputs([1])["image"].dtype == np.float32
    np.testing.assert_allclose(dataset.inputs([1])["image"][0, ..., 0], np.array([[40, 50], [60, 70]]) / 255, rtol=1e-6)
    assert dataset.raw_inputs([1])["image"][0, ..., 0].tolist() == [[40, 50], [60, 70]]


def test_parts_are_told_apart(dataset):
    rows = {part: dataset.rows(part).tolist() for part in ("train", "validation", "test", "unlabelled")}
    assert rows == {"train": [0, 4], "validation": [2], "test": [3], "unlabelled": [1]}
    with pytest.raises(ValueError, match="`part`"):
        dataset.rows("trian")


def test_the_expander_makes_the_same_inputs_and_lets_other_columns_through(dataset):
    columns = {"image_row": tf.constant([4, 0]), "teacher_logits": tf.constant([[1.0], [2.0]])}
    expanded = image_expander(dataset)(columns)
    np.testing.assert_array_equal(expanded["image"], dataset.inputs([4, 0])["image"])
    assert set(expanded) == {"image", "teacher_logits"} and set(columns) == {"image_row", "teacher_logits"}


def test_a_data_set_round_trips_through_its_file(dataset, tmp_path):
    dataset.save(tmp_path / "one.npz")
    dataset.save(tmp_path / "two.npz")
    loaded = ImageDataset.load(tmp_path / "one.npz")
    for name in ("images", "label", "split", "example_id"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(dataset, name))
    assert (loaded.classes, loaded.source, loaded.summary()) == (3, "five", dataset.summary())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_a_damaged_file_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "dataset.npz").write_bytes(content)
    with pytest.raises(UserError, match="dataset.npz' is missing, damaged or not a data set"):
        ImageDataset.load(tmp_path / "dataset.npz")


def test_a_split_takes_validation_and_labelled_images_from_the_training_part():
    parts = split_images(100, 20, validation=0.2, labelled=30, seed=1)
    assert np.bincount(parts).tolist() == [30, 20, 20, 50]
    assert (parts[100:] == 2).all() and (parts[:100] != 2).all()


def test_fewer_labelled_images_are_among_the_more_and_validation_stays():
    few, many, all_of_them = (split_images(100, 20, validation=0.2, labelled=n, seed=3) for n in (10, 40, None))
    assert set(np.flatnonzero(few == 0)) < set(np.flatnonzero(many == 0)) < set(np.flatnonzero(all_of_them == 0))
    assert np.array_equal(few == 1, all_of_them == 1)
    assert not np.array_equal(few, split_images(100, 20, validation=0.2, labelled=10, seed=4))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"labelled": 81}, r"data\.labelled: expected at most 80, .* received 81"),
        ({"validation": 0.001}, r"data\.split\.validation: 0\.001 of 100 training images leaves a part empty"),
    ],
)
def test_a_split_that_cannot_be_is_refused(settings, told):
    with pytest.raises(UserError, match=told):
        split_images(100, 20, **{"validation": 0.2, **settings})
