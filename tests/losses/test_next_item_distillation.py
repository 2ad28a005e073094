"""Next-item distillation against its formula."""

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from tfdistill.losses import NextItemDistillation

WEIGHTS = {"user": np.float32([1, 0, 1, 1]), "item": np.float32([1, 1, 0, 1, 1])}


def sample(width=3):
    random = np.random.default_rng(0)
    return (
        {
            "user": random.normal(size=(4, width)).astype("float32"),
            "item": random.normal(size=(5, width)).astype("float32"),
        }
        for _ in range(2)
    )


def by_hand(teacher, student, temperature, kl_weight, contrastive_weight, contrastive_temperature):
    users, items = (np.flatnonzero(WEIGHTS[entity]) for entity in ("user", "item"))
    (t_user, t_item), (s_user, s_item) = ((one["user"][users], one["item"][items]) for one in (teacher, student))
    log_t, log_s = (
        log_softmax(user @ item.T / temperature, axis=1) for user, item in ((t_user, t_item), (s_user, s_item))
    )
    divergence = temperature**2 * np.sum(np.exp(log_t) * (log_t - log_s))
    t_user, s_user = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (t_user, s_user))
    logits = s_user @ t_user.T / contrastive_temperature
    return kl_weight * divergence + contrastive_weight * np.sum(logsumexp(logits, axis=1) - np.diag(logits))


@pytest.mark.parametrize("settings", [(1.0, 0.8, 0.2, 0.2), (3.0, 1.0, 0.0, 0.5), (2.0, 0.0, 1.0, 0.1)])
def test_the_loss_is_that_of_different_users_and_items(settings):
    teacher, student = sample()
    found = NextItemDistillation(*settings).compute_loss(teacher, student, WEIGHTS)
    np.testing.assert_allclose(found, by_hand(teacher, student, *settings), rtol=1e-4)


def test_a_narrower_student_gets_a_projector_for_the_contrast_alone():
    for weight, count in ((0.2, 5 * 3 + 5), (0.0, 0)):
        loss = NextItemDistillation(contrastive_weight=weight)
        loss.build({"user": (None, 5), "item": (None, 5)}, {"user": (None, 3), "item": (None, 3)})
        assert loss.count_params() == count
