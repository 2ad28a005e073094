"""How steps run, as a recipe says it."""

import numpy as np
import pytest

from tfdistill import _execution
from tfdistill._execution import execution
from tfdistill.errors import UserError
from tfdistill.recipes.schema_steps import Steps


@pytest.mark.parametrize(
    "keys, auto, expected",
    [
        ({}, True, (16, True)),
        ({}, "auto", (16, "auto")),
        ({"xla": False}, True, (16, False)),
        ({"xla": True, "steps_per_execution": 3}, False, (3, True)),
        ({"steps_per_execution": 100}, False, (50, False)),  # no more than an epoch has
    ],
)
def test_a_recipes_keys_come_before_what_is_known_of_the_model(keys, auto, expected):
    assert tuple(execution(Steps(**keys), 50, auto).values()) == expected


def test_several_replicas_run_without_xla_and_cannot_be_told_otherwise(monkeypatch):
    monkeypatch.setattr(_execution, "replicas", lambda: 2)
    assert execution(Steps(), 50, True)["jit_compile"] is False
    with pytest.raises(UserError, match="^xla: true cannot be had with 2 replicas. Set `train.xla` to auto"):
        execution(Steps(xla=True), 50, True)


@pytest.mark.parametrize("value", ["yes", 1, None, "true"])
def test_xla_is_auto_true_or_false(value):
    with pytest.raises(ValueError, match="xla"):
        Steps(xla=value)


def test_the_number_of_steps_in_a_call_changes_nothing():
    import keras

    from tfdistill import RetrievalDistiller
    from tfdistill.data.implicit import ImplicitDataset
    from tfdistill.models import bpr_mf

    pairs = [[user, item] for user in range(6) for item in range(user % 3, 9, 2)]
    dataset = ImplicitDataset(6, 10, {"train": pairs, "validation": [], "test": []})

    def trained(steps):
        keras.utils.set_random_seed(1)
        distiller = RetrievalDistiller(None, bpr_mf(6, 10, 2))
        distiller.compile(keras.optimizers.SGD(0.1), steps_per_execution=steps, jit_compile=False)
        distiller.fit_retrieval(dataset, epochs=2, batch_size=4, verbose=0)
        return distiller.student.get_weights()

    for one, four in zip(trained(1), trained(4), strict=True):
        np.testing.assert_allclose(four, one, rtol=1e-6)
