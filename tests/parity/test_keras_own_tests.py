"""Keras's own distillation tests, as installed, run against tfdistill with nothing but the imports changed."""

import importlib.util
import unittest
from pathlib import Path

import keras
import pytest

# What they pin and ours does otherwise, on purpose (docs/distiller.md): the caller's teacher is left as it is, where
# Keras sets `trainable=False` on it.
TEACHER_IS_SET_UNTRAINABLE = {"test_distiller_initialization", "test_teacher_freezing"}
IMPORTS = {
    "from keras.src.distillation.distiller import": "from tfdistill import",
    "from keras.src.distillation.distillation_loss import": "from tfdistill.losses import",
}


@pytest.fixture(params=["distiller_test.py", "distillation_loss_test.py"])
def outcomes(request, tmp_path):
    """{name of a test: why it failed, or None} of one of Keras's files."""
    path = Path(keras.__file__).parent / "src" / "distillation" / request.param
    if not path.is_file():
        pytest.skip(f"this Keras ({keras.__version__}) is installed without its tests")
    source = path.read_text()
    for theirs, ours in IMPORTS.items():
        source = source.replace(theirs, ours)
    copy = tmp_path / f"adapted_{request.param}"
    copy.write_text(source)
    spec = importlib.util.spec_from_file_location(copy.stem, copy)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite, result = unittest.defaultTestLoader.loadTestsFromModule(module), unittest.TestResult()
    names = [test._testMethodName for group in suite for test in group]
    suite.run(result)
    assert result.testsRun == len(names)
    return dict.fromkeys(names) | {test._testMethodName: why for test, why in [*result.failures, *result.errors]}


def test_all_pass_but_those_that_pin_an_untrainable_teacher(outcomes):
    expected = TEACHER_IS_SET_UNTRAINABLE & set(outcomes)
    failed = {name: why for name, why in outcomes.items() if why is not None}
    assert set(failed) == expected, "\n".join(failed.values())
    assert all("trainable" in why for why in failed.values())
    assert len(outcomes) >= 5
