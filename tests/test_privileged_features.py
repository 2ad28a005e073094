"""A teacher that sees what its student will not have when serving: the ordinary Distiller, with rankers and with towers."""

import keras
import numpy as np
import pytest

import tfdistill
from tfdistill.data import Field
from tfdistill.losses import LogitsDistillation
from tfdistill.models import build, two_tower

USER, ITEM = Field("user", "categorical", "user", 12), Field("item", "categorical", "item", 8)
DWELL = Field("dwell", "numeric", "item", 0)  # known after the click only


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    inputs = {
        "user": random.integers(0, 12, 256).astype("int32"),
        "item": random.integers(0, 8, 256).astype("int32"),
        "dwell": random.normal(size=256).astype("float32"),
    }
    return inputs, (inputs["dwell"] > 0).astype("float32")[:, None]


def models(kind):
    keras.utils.set_random_seed(1)
    if kind == "two_tower":
        settings = {"embedding_width": 4, "hidden_units": (8,), "width": 4}
        return two_tower([USER], [ITEM, DWELL], **settings), two_tower([USER], [ITEM], **settings)
    return build(kind, [USER, ITEM, DWELL]), build(kind, [USER, ITEM])


@pytest.mark.parametrize("kind", ["two_tower", "mlp", "dcn_v2"])
def test_the_student_learns_from_soft_labels_of_features_that_it_never_gets(kind, rows):
    inputs, labels = rows
    teacher, student = models(kind)
    teacher.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    teacher.fit(inputs, labels, epochs=2, verbose=0)
    before = teacher.get_weights()
    distiller = tfdistill.Distiller(teacher, student, LogitsDistillation(1.0), student_loss_weight=0.0)
    distiller.compile(keras.optimizers.Adam(0.01))
    losses = distiller.fit(inputs, labels, epochs=6, batch_size=64, verbose=0).history["distillation_loss"]
    assert losses[-1] < losses[0]
    assert all(np.array_equal(one, other) for one, other in zip(before, teacher.get_weights(), strict=True))
    served = {name: inputs[name] for name in ("user", "item")}
    assert "dwell" not in student.input
    assert student.predict(served, verbose=0).shape == (256, 1)
