"""Training with a cache is training with the teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import FeatureDistillation, LogitsDistillation
from tfdistill.soft_targets import write_soft_targets
from tfdistill.teachers import CachedTeacher

LABELS = np.random.default_rng(8).integers(0, 5, 100)


def student():
    keras.utils.set_random_seed(11)
    inputs = {"price": keras.Input((3,), name="price"), "shop": keras.Input((), dtype="int32", name="shop")}
    both = keras.layers.Concatenate()([inputs["price"], keras.layers.Embedding(9, 2)(inputs["shop"])])
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Dense(6, "tanh", name="inner")(both)))


def trained(teacher, dataset, losses):
    distiller = Distiller(teacher, student(), losses())
    distiller.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = distiller.fit(dataset, epochs=2, verbose=0).history
    return history, distiller.student.get_weights()


@pytest.mark.parametrize(
    "losses, features",
    [
        (lambda: LogitsDistillation(temperature=2.0), []),
        (lambda: [LogitsDistillation(temperature=2.0), FeatureDistillation("mse", "hidden", "inner")], ["hidden"]),
    ],
    ids=["logits", "features"],
)
def test_a_cache_trains_the_same_student_as_the_live_teacher(tmp_path, teacher, data, losses, features):
    inputs, example_id = data
    soft_targets = write_soft_targets(tmp_path / "soft", teacher, inputs, example_id, features=features, batch_size=33)
    dataset = tf.data.Dataset.from_tensor_slices(({**inputs, "example_id": example_id}, LABELS))
    dataset = dataset.shuffle(100, seed=4, reshuffle_each_iteration=False).batch(16)
    live_history, live_weights = trained(teacher, dataset, losses)
    cached = CachedTeacher("teacher_logits", features=features)
    cached_history, cached_weights = trained(cached, soft_targets.attach(dataset), losses)
    for name, values in live_history.items():
        np.testing.assert_allclose(cached_history[name], values, rtol=1e-4, err_msg=name)
    for live, found in zip(live_weights, cached_weights, strict=True):
        np.testing.assert_allclose(found, live, rtol=1e-3, atol=1e-5)
