"""TF_CONFIG and the workers that it names: what is wrong is told in one line, and nothing waits for ever."""

import json
import socket
import threading

import pytest

from tfdistill.cli import main
from tfdistill.distribution import make_strategy
from tfdistill.distribution.batches import check_divides
from tfdistill.distribution.cluster import Cluster, read_cluster, wait_for_workers, worker_timeout
from tfdistill.errors import UserError
from tfdistill.recipes import team
from tfdistill.recipes.loading import load_recipe

TWO = ["a:1", "b:2"]


def config(cluster, task):
    return json.dumps({"cluster": cluster, "task": task})


@pytest.fixture
def tf_config(monkeypatch):
    """Returns a function that sets TF_CONFIG."""
    return lambda text: monkeypatch.setenv("TF_CONFIG", text)


@pytest.fixture
def ports():
    """Two ports that nothing listens at."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


def test_without_tf_config_there_are_no_workers(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert read_cluster() is None


def test_the_chief_is_the_first_worker(tf_config):
    tf_config(config({"chief": ["c:1"], "worker": TWO}, {"type": "worker", "index": 1}))
    assert read_cluster() == Cluster(("c:1", "a:1", "b:2"), 2)


@pytest.mark.parametrize(
    "text, told",
    [
        ("{worker", "not readable as JSON"),
        ("[1]", "no JSON object"),
        (config({"worker": "a:1"}, {}), '"worker" must be a list of "host:port"'),
        (config({"worker": ["a", "b:2"]}, {}), '"worker" must be a list of "host:port"'),
        (config({"worker": ["a:1", "a:1"]}, {"type": "worker", "index": 0}), "an address of its own"),
        (config({"worker": TWO}, {"type": "worker", "index": 2}), '"task" must be one of the cluster'),
        (config({"worker": TWO}, {"type": "worker", "index": "0"}), '"task" must be one of the cluster'),
        (config({"worker": TWO}, {}), '"task" must be one of the cluster'),
        (config({"worker": TWO, "ps": ["c:3"]}, {"type": "worker", "index": 0}), "it names ps too"),
        (config({"chief": TWO}, {"type": "chief", "index": 0}), "there can be one chief, it names 2"),
    ],
)
def test_a_malformed_tf_config_is_told_with_the_right_form(tf_config, text, told):
    tf_config(text)
    with pytest.raises(UserError, match="^TF_CONFIG: .*Expected such as") as raised:
        read_cluster()
    assert told in str(raised.value)


def test_a_worker_that_never_joins_is_named_when_the_time_is_over(tf_config, ports):
    addresses = [f"127.0.0.1:{port}" for port in ports]
    tf_config(config({"worker": addresses}, {"type": "worker", "index": 0}))
    with pytest.raises(UserError, match=rf"worker 1 \({addresses[1]}\) did not join within 0.5 seconds"):
        make_strategy("multi_worker", timeout_seconds=0.5)


def test_workers_meet_although_one_comes_late(ports):
    addresses = tuple(f"127.0.0.1:{port}" for port in ports)
    servers, both_are_there = [], threading.Barrier(2)

    def join(index):
        wait_for_workers(Cluster(addresses, index), 20)
        server = socket.create_server(("", ports[index]))  # TensorFlow's, which takes the place of the one that waited
        servers.append(server)
        both_are_there.wait(20)

    late = threading.Timer(0.5, join, [1])
    late.start()
    join(0)
    late.join()
    for server in servers:
        server.close()
    assert len(servers) == 2


def test_a_port_that_is_taken_is_told(ports):
    addresses = tuple(f"127.0.0.1:{port}" for port in ports)
    with socket.socket() as other:
        other.bind(("", ports[0]))
        other.listen()
        with pytest.raises(UserError, match=f"port {ports[0]} of this worker.* cannot be had"):
            wait_for_workers(Cluster(addresses, 0), 5)


@pytest.mark.parametrize("given", ["soon", "0", "-1", "inf", "nan"])
def test_the_time_to_wait_is_a_positive_number(monkeypatch, given):
    monkeypatch.setenv("TFDISTILL_WORKER_TIMEOUT", given)
    with pytest.raises(UserError, match="TFDISTILL_WORKER_TIMEOUT: expected a positive number"):
        worker_timeout()


def test_the_time_to_wait_is_settable(monkeypatch):
    monkeypatch.delenv("TFDISTILL_WORKER_TIMEOUT", raising=False)
    assert worker_timeout() == 300
    monkeypatch.setenv("TFDISTILL_WORKER_TIMEOUT", "12.5")
    assert worker_timeout() == 12.5 and worker_timeout(3) == 3


def test_strategies_that_this_machine_cannot_have_are_told(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="`name` must be one of 'auto'.*Received: name='all'"):
        make_strategy("all")
    with pytest.raises(UserError, match="mirrored needs at least two devices, this machine has 1"):
        make_strategy("mirrored")
    with pytest.raises(UserError, match="multi_worker needs at least two workers.*it names 0"):
        make_strategy("multi_worker")
    assert make_strategy().num_replicas_in_sync == 1


def test_a_batch_that_does_not_divide_is_told_with_the_nearest_that_does():
    check_divides(12, 4)
    with pytest.raises(UserError, match="expected a multiple of the 4 replicas .* received 10. Set 8"):
        check_divides(10, 4)


class Strategy:
    num_replicas_in_sync = 3


def test_a_recipe_is_told_which_batch_does_not_divide_before_anything_runs(monkeypatch):
    monkeypatch.setattr(team, "make_strategy", lambda name: Strategy())
    sets = ["strategy=mirrored", "teacher.train.batch_size=3072", "student.train.batch_size=2048"]
    with pytest.raises(UserError, match=r"^student\.train\.batch_size: expected a multiple of the 3 replicas"):
        team.Team(load_recipe("quickstart", sets))


@pytest.mark.parametrize(
    "environment, strategy, told",
    [
        ("{", "auto", "TF_CONFIG: not readable as JSON"),
        ("", "mirrored", "mirrored needs at least two devices"),
        ("", "multi_worker", "multi_worker needs at least two workers"),
        ("", "parameter_server", "recipes do not run with parameter_server"),
    ],
)
def test_the_command_line_says_so_in_one_line_and_returns_2(
    tf_config, tmp_path, capsys, monkeypatch, environment, strategy, told
):
    monkeypatch.setattr("tfdistill._tensorflow.quiet_when_imported", lambda: None)
    tf_config(environment)
    arguments = ["run", "quickstart", "--output", str(tmp_path), "--set", f"strategy={strategy}"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
