"""What differs between clicks and classes, each fact worked by hand or against Keras."""

import keras
import numpy as np
import pytest

from tfdistill.data import ImageDataset
from tfdistill.errors import UserError
from tfdistill.recipes.tasks import TASKS, task_named, task_of

CLICKS, CLASSES = TASKS["click-through"], TASKS["classification"]


@pytest.fixture
def images():
    split = np.array([0, 0, 1, 2, 3, 3, 3, 3, 3], np.int8)
    label = np.array([2, 0, 1, 1, 0, 1, 2, 0, 1], np.int32)
    pixels = np.arange(9 * 4, dtype=np.uint8).reshape(9, 2, 2, 1)
    return ImageDataset(pixels, label, split, 3, np.arange(100, 109), "nine")


def test_logits_of_any_size_become_probabilities():
    np.testing.assert_allclose(CLICKS.probability([[-800.0], [0.0], [800.0]]), [0.0, 0.5, 1.0])
    np.testing.assert_allclose(CLASSES.probability([[800.0, 0.0], [0.0, 0.0]]), [[1.0, 0.0], [0.5, 0.5]])
    logits = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    np.testing.assert_allclose(CLASSES.probability(logits), keras.ops.softmax(logits), atol=1e-6)
    np.testing.assert_allclose(CLICKS.probability(logits[:, :1]), keras.ops.sigmoid(logits[:, 0]), atol=1e-6)


def test_labels_have_the_shape_that_the_hard_loss_takes(images):
    rows = images.rows("train")
    logits = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]], np.float32)
    probability = CLASSES.probability(logits)
    expected = -(np.log(probability[0, 2]) + np.log(probability[1, 0])) / 2
    assert float(CLASSES.hard_loss()(CLASSES.labels(images, rows), logits)) == pytest.approx(expected, rel=1e-5)
    assert CLASSES.quality(images, rows, logits) == 1.0
    assert CLASSES.metrics(images, rows, probability, 10) == {"accuracy": 1.0, "log_loss": pytest.approx(expected)}


def test_the_pool_of_images_is_drawn_from_those_without_a_label_each_once(images):
    class Settings:
        unrated_ratio = 2.5

    pool = CLASSES.draw_pool(images, Settings, 1, None)
    assert sorted(pool["image_row"]) == [4, 5, 6, 7, 8] and pool["image_row"].dtype == np.int32
    np.testing.assert_array_equal(pool["example_id"], pool["image_row"] + 100)
    Settings.unrated_ratio = 3.0
    with pytest.raises(UserError, match=r"at most 2\.5, since beside the 2 labelled .* there are 5 others, received 3"):
        CLASSES.draw_pool(images, Settings, 1, None)


def test_a_data_set_a_section_of_a_recipe_and_metrics_json_name_the_same_task(images):
    from tfdistill.recipes.schema_data import MnistData, SyntheticData

    assert task_of(images) is task_of(MnistData(source="mnist")) is task_named("classification") is CLASSES
    assert task_of(SyntheticData(source="synthetic")) is task_named("click-through") is CLICKS


@pytest.mark.parametrize("name", [None, 3, "regression", ["classification"]])
def test_a_report_without_a_known_task_is_read_as_one_of_clicks(name):
    assert task_named(name) is CLICKS


def test_both_tasks_answer_the_same_questions():
    questions = [{name for name in dir(task) if not name.startswith("_")} for task in (CLICKS, CLASSES)]
    assert questions[0] == questions[1]
