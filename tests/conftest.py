"""Fixtures that every test may ask for, and what is done around every test."""

import gc
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TFRS and TFMOT take tf.keras for Keras 2, which TensorFlow decides when it is first touched; Keras 3 is never tf.keras here.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_collection_finish():
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """Leaves what is there out of later collections: TensorFlow's converter collects at every file, which took it a third
    of its time."""
    yield
    gc.collect()
    gc.freeze()


def _seed():
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup():
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    """Weights that a test does not seed are the same whichever tests ran before it."""
    _seed()


@pytest.fixture(scope="session")
def shared_data():
    """Returns a function: the folder of a real data set by name, or a skip that says why."""

    def find(name):
        root = Path(os.environ.get("TFDISTILL_TEST_DATA", CHECKOUT.parent / "shared" / "data"))
        if not (root / name).exists():
            pytest.skip(f"no data set '{name}' in {root} (set TFDISTILL_TEST_DATA to the folder that holds it)")
        return root / name

    return find
