"""A chief in one process, a worker and two parameter servers in another."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tfdistill.distribution import make_strategy, serve
from tfdistill.distribution.parameter_server import ShardedEmbedding, make_parameter_server_strategy
from tfdistill.errors import UserError

CLUSTER = Path(__file__).parent / "parameter_server_cluster.py"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def config(job="chief", servers=2):
    chief, worker, *servers = (f"localhost:{port}" for port in free_ports(2 + servers))
    cluster = {"chief": [chief], "worker": [worker], "ps": servers}
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": 0}})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(what the chief printed, the folder with the student that it saved)."""
    folder = tmp_path_factory.mktemp("parameter_server")
    environment = {**os.environ, "TF_CONFIG": config(), "TFDISTILL_WORKER_TIMEOUT": "120"}
    servers = subprocess.Popen([sys.executable, CLUSTER, "serve"], env=environment, stderr=subprocess.DEVNULL)
    try:
        chief = subprocess.run(
            [sys.executable, CLUSTER, "train", folder], env=environment, capture_output=True, text=True, timeout=300
        )
    finally:
        servers.kill()
        servers.wait()
    assert chief.returncode == 0, chief.stderr[-3000:]
    return json.loads(chief.stdout.splitlines()[-1]), folder


@pytest.mark.parametrize("optimizer", ["Adam", "RowWiseAdagrad", "SGD of Keras"])
def test_the_loss_falls_and_the_parts_of_the_table_lie_on_the_parameter_servers(trained, optimizer):
    found = trained[0][optimizer]
    assert found["losses"][1] < 0.7 * found["losses"][0]
    assert found["iterations"] == 40  # with one worker none is lost
    assert [device.split("/device")[0] for device in found["devices"]] == [
        f"/job:ps/replica:0/task:{number}" for number in (0, 1)
    ]
    assert found["shapes"] == [[26, 4], [25, 4]]


def test_the_saved_student_answers_on_one_machine_as_in_the_cluster(trained):
    found, folder = trained
    student = keras.models.load_model(folder / "student.keras", safe_mode=True)
    answers = student({"id": np.arange(51, dtype="int32")})[:, 0]
    np.testing.assert_allclose(answers, found["answers"], rtol=1e-5, atol=1e-6)
    assert (np.sign(answers) == np.where(np.arange(51) % 2, 1, -1)).all()


def test_a_table_in_parts_looks_up_what_one_table_does():
    layer = ShardedEmbedding(7, 2, shards=3)
    layer.build()
    table = np.arange(14, dtype="float32").reshape(7, 2)
    layer.set_weights([table[:3], table[3:5], table[5:]])
    ids = np.array([[6, 0], [3, 2], [4, 5]])
    np.testing.assert_array_equal(layer(ids), table[ids])
    with pytest.raises(ValueError, match="`shards` must be at least 1"):
        ShardedEmbedding(7, 2, shards=-1)


def test_servers_that_never_join_are_told_in_time(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(servers=1))
    with pytest.raises(UserError, match=r"ps 0 \(localhost:\d+\), worker 0 .* did not join within 0.3 seconds"):
        make_parameter_server_strategy(timeout_seconds=0.3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a chief, workers and parameter servers"),
        ("{", "not readable as JSON"),
        ("[]", "no JSON object"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}', "names no chief, no ps"),
    ],
)
def test_a_cluster_without_parameter_servers_is_refused(monkeypatch, text, told):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"^TF_CONFIG: .*{told}"):
        make_strategy("parameter_server", timeout_seconds=1)


def test_who_serves_and_who_trains_are_told_apart(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config("worker"))
    with pytest.raises(UserError, match="this process is a worker"):
        make_parameter_server_strategy()
    monkeypatch.setenv("TF_CONFIG", config("chief"))
    with pytest.raises(UserError, match="the chief trains"):
        serve()
