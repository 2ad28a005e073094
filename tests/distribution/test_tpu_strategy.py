"""Where there is no TPU, that is said in one line and in time; where there is one, it is connected before it is used."""

import os
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from tfdistill.distribution import make_strategy, tpu
from tfdistill.distribution.tpu import make_tpu_strategy
from tfdistill.errors import UserError

RESOLVERS = tf.distribute.cluster_resolver


@pytest.fixture(autouse=True)
def no_name(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)


def test_a_machine_without_a_tpu_is_told_at_once():
    started = time.monotonic()
    with pytest.raises(UserError, match="^strategy: tpu: no TPU is named, by TPU_NAME or otherwise .* choose auto.$"):
        make_tpu_strategy(timeout_seconds=20)
    assert time.monotonic() - started < 20


def test_an_address_where_nothing_answers_is_told():
    with pytest.raises(UserError, match="^strategy: tpu: nothing answers at grpc://localhost:1. Check that"):
        make_tpu_strategy("grpc://localhost:1", timeout_seconds=20)


def test_auto_takes_the_tpu_that_is_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("TPU_NAME", "grpc://localhost:1")
    with pytest.raises(UserError, match="^strategy: tpu: nothing answers at grpc://localhost:1"):
        make_strategy("auto")


def test_a_lookup_that_hangs_is_left_alone(monkeypatch):
    monkeypatch.setattr(RESOLVERS, "TPUClusterResolver", lambda address: time.sleep(20))
    with pytest.raises(UserError, match="^strategy: tpu: my-tpu was not found within 0.2 seconds"):
        make_tpu_strategy("my-tpu", timeout_seconds=0.2)


def test_a_machine_that_is_no_tpu_vm_is_told(monkeypatch):
    monkeypatch.setattr(RESOLVERS, "TPUClusterResolver", lambda address: address)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda resolver: None)

    def initialize(resolver):
        raise tf.errors.NotFoundError(None, None, "TPUs not found in the cluster.\nA long story.")

    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", initialize)
    with pytest.raises(UserError, match=r"^strategy: tpu: there is no TPU at local \(TPUs not found in the cluster\)"):
        make_tpu_strategy("local")


def test_a_tpu_that_never_starts_ends_the_process_with_one_line():
    program = (
        "import sys, time, tensorflow as tf\n"
        "from tfdistill.distribution.tpu import make_tpu_strategy\n"
        "tf.distribute.cluster_resolver.TPUClusterResolver = lambda address: address\n"
        "tf.config.experimental_connect_to_cluster = lambda resolver: time.sleep(60)\n"
        "make_tpu_strategy('my-tpu', timeout_seconds=0.2)\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("tfdistill: error: strategy: tpu: my-tpu did not start within 0.2")


def test_a_tpu_is_found_by_its_name_connected_initialised_and_then_used(monkeypatch):
    done = []

    def step(name):
        return lambda given: done.append((name, given)) or f"{given} {name}"

    monkeypatch.setenv("TPU_NAME", "local")
    monkeypatch.setattr(RESOLVERS, "TPUClusterResolver", step("found"))
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", step("connected"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", step("initialised"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", step("strategy"))
    assert make_tpu_strategy() == "local found strategy"
    assert [name for name, _ in done] == ["found", "connected", "initialised", "strategy"]


def test_times_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="`timeout_seconds` must be above 0. Received: timeout_seconds=0"):
        make_tpu_strategy(timeout_seconds=0)


@pytest.mark.parametrize("size, why", [(4, None), (5, "XLA refuses: ")])
def test_only_what_depends_on_values_is_refused_not_what_depends_on_shapes(size, why):
    def step(counts):
        return tf.zeros(tf.shape(counts) if size == 4 else counts[:1])

    found = tpu.refused_by_tpu(step, tf.ones(size, "int32"))
    assert found is None if why is None else found.startswith(why)


def test_what_the_function_itself_raises_is_not_hidden():
    def step(_):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        tpu.refused_by_tpu(step, tf.ones(1))
