"""Row-sparse optimizers on two devices, and beside a large table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found():
    command = [sys.executable, "-m", "tests.optimizers.two_devices"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("xla", [False, True])
def test_a_step_needs_no_memory_of_a_tables_size(found, xla):
    table = 1_000_000 * 32 * 4
    assert found["bytes"][str(xla)] < table / 4


@pytest.mark.parametrize("case", ["Adam, lazy=True", "Adam, lazy=False", "RowWiseAdagrad, lazy=True"])
def test_two_devices_train_what_one_does_and_clip_what_both_have(found, case):
    result = found["mirrored"][case]
    assert result["replicas_equal"] and result["apart"] < 2e-6
    assert result["sparse"] == ("lazy=True" in case)
