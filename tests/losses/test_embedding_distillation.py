"""Embedding distillation against its formula."""

import keras
import numpy as np
import pytest

from tfdistill.losses import EmbeddingDistillation


def sample(teacher_width, student_width):
    random = np.random.default_rng(0)
    teacher, student = (
        {
            "user": random.normal(size=(3, width)).astype("float32"),
            "item": random.normal(size=(4, width)).astype("float32"),
        }
        for width in (teacher_width, student_width)
    )
    return teacher, student, {"user": np.float32([1, 0, 1]), "item": np.float32([1, 1, 0, 1])}


@pytest.mark.parametrize("comparison", ["squared_error", "cosine"])
@pytest.mark.parametrize("shared", [True, False])
def test_the_loss_compares_projected_vectors_of_users_and_items(comparison, shared):
    teacher, student, weights = sample(5, 2)
    loss = EmbeddingDistillation(comparison, shared=shared, item_weight=0.5)
    loss.build({"user": (None, 5), "item": (None, 5)}, {"user": (None, 2), "item": (None, 2)})
    expected = 0.0
    for entity, share in (("user", 1.0), ("item", 0.5)):
        kernel, bias = (np.asarray(one) for one in loss.projectors[entity].weights)
        for t, s, weight in zip(teacher[entity], student[entity] @ kernel + bias, weights[entity], strict=True):
            error = np.sum((t - s) ** 2) if comparison == "squared_error" else 1 - t @ s / np.sqrt((t @ t) * (s @ s))
            expected += share * weight * error
    np.testing.assert_allclose(loss.compute_loss(teacher, student, weights), expected, rtol=1e-4)


def test_towers_share_one_projector_or_have_their_own():
    shapes = {"user": (None, 5), "item": (None, 5)}, {"user": (None, 2), "item": (None, 2)}
    for shared, count in ((True, 15), (False, 30)):
        loss = EmbeddingDistillation(shared=shared)
        loss.build(*shapes)
        assert loss.count_params() == count


def test_widths_that_differ_need_a_projector():
    teacher, student, _ = sample(5, 2)
    with pytest.raises(ValueError, match="must have the same shape"):
        EmbeddingDistillation(projector=None).compute_loss(teacher, student)
    with pytest.raises(ValueError, match="`projector`"):
        EmbeddingDistillation(projector=keras.layers.Dense(3))
