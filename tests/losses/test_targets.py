import numpy as np
import pytest

from tfdistill.losses.targets import target_classes

TEACHER = np.array([[0.0, 1.0, 5.0], [4.0, 1.0, 0.0], [0.0, 3.0, 1.0]], "float32")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 0, 2]),
        np.array([[1], [0], [2]], "int64"),
        np.array([1.0, 0.0, 2.0], "float32"),
        np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
        np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0], [0.2, 0.2, 0.6]], "float16"),
    ],
)
def test_class_numbers_one_hot_rows_and_probabilities_name_the_same_targets(labels):
    np.testing.assert_array_equal(target_classes(labels, TEACHER), [1, 0, 2])


@pytest.mark.parametrize(
    "labels",
    [
        None,
        np.array([-1, -1, -1]),
        np.array([3, 99, 2**31 - 1]),
        np.array([np.nan, np.inf, -0.5], "float32"),
        np.full((3, 1), -1),
        np.zeros((3, 3), "float32"),
        np.full((3, 3), -1),
        np.array([[np.nan, 1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], "float32"),
    ],
)
def test_without_a_usable_label_the_teacher_names_the_target(labels):
    np.testing.assert_array_equal(target_classes(labels, TEACHER), [2, 0, 1])


def test_rows_with_and_without_labels_mix():
    np.testing.assert_array_equal(target_classes(np.array([0, -1, 2]), TEACHER), [0, 0, 2])


def test_every_time_step_has_its_target():
    teacher = np.stack([TEACHER, TEACHER[::-1]])
    np.testing.assert_array_equal(target_classes(np.array([[1, 0, -1], [2, 2, 2]]), teacher), [[1, 0, 1], [2, 2, 2]])


@pytest.mark.parametrize("labels", [np.zeros((3, 2)), np.zeros((3, 3, 1, 1)), np.float32(0)])
def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(ValueError, match=r"Labels must be class numbers.*outputs \(3, 3\)"):
        target_classes(labels, TEACHER)
