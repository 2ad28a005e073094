"""The workers that TF_CONFIG names, and waiting until all of them are there."""

import contextlib
import dataclasses
import json
import math
import os
import socket
import sys
import threading
import time

from tfdistill.errors import UserError

TF_CONFIG, TIMEOUT = "TF_CONFIG", "TFDISTILL_WORKER_TIMEOUT"
DEFAULT_TIMEOUT = 300.0  # seconds
EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}, and index 1 on host2'
JOBS = ("chief", "worker")
POLL_SECONDS, CONNECT_SECONDS = 0.2, 2.0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        addresses: "host:port" of each; the first is the chief, which writes what is written once.
        index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int


def read_cluster():
    """Returns the `Cluster` of the environment variable TF_CONFIG; `None` where it is not set or names no workers.

    Raises:
        UserError: where it is not what TensorFlow expects.

    >>> import os
    >>> os.environ["TF_CONFIG"] = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
    >>> read_cluster()
    Cluster(addresses=('a:1', 'b:1'), index=1)
    """
    config = read_jobs(JOBS, EXAMPLE)
    if config is None:
        return None
    jobs, kind, number = config
    addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    return Cluster(addresses, number + (len(jobs.get("chief", ())) if kind == "worker" else 0))


def read_jobs(allowed, example):
    """Returns ({job: addresses}, the job of this process, its number) of TF_CONFIG; `None` where it names no cluster.

    Args:
        allowed: jobs that there may be.
        example: a right TF_CONFIG, for errors.

    Raises:
        UserError: where it is not what TensorFlow expects, or names other jobs.
    """

    def malformed(what):
        return UserError(f"{TF_CONFIG}: {what}. Expected such as {example}.")

    text = os.environ.get(TF_CONFIG, "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise malformed(f"not readable as JSON ({error})") from None
    if not isinstance(config, dict):
        raise malformed("no JSON object")
    jobs, task = config.get("cluster", {}), config.get("task", {})
    if not jobs:
        return None
    if not isinstance(jobs, dict) or not isinstance(task, dict):
        raise malformed('"cluster" and "task" must be objects')
    if others := sorted(set(jobs) - set(allowed)):
        raise malformed(f"the jobs here are {' and '.join(allowed)}, it names {', '.join(others)} too")
    for job, addresses in jobs.items():
        if not isinstance(addresses, list) or not all(_is_address(one) for one in addresses):
            raise malformed(f'"{job}" must be a list of "host:port", received {addresses!r}')
    if len(jobs.get("chief", ())) > 1:
        raise malformed(f"there can be one chief, it names {len(jobs['chief'])}")
    everyone = [address for addresses in jobs.values() for address in addresses]
    if len(set(everyone)) < len(everyone):
        raise malformed(f"every process needs an address of its own, received {', '.join(everyone)}")
    kind, number = task.get("type"), task.get("index")
    if kind not in jobs or type(number) is not int or not 0 <= number < len(jobs[kind]):
        told = f'"task" must be one of the cluster, {{"type": ..., "index": ...}}, received {json.dumps(task)}'
        raise malformed(told)
    return jobs, kind, number


def worker_timeout(seconds=None):
    """How long to wait for the other workers, in seconds: as given, or TFDISTILL_WORKER_TIMEOUT, or 300.

    Raises:
        UserError: for what is no positive number.
    """
    given = os.environ.get(TIMEOUT, DEFAULT_TIMEOUT) if seconds is None else seconds
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{TIMEOUT}: expected a positive number of seconds, received {given!r}.")
    return value


def wait_for_workers(cluster, seconds):
    """Returns when all workers can be reached at their addresses.

    A worker that waits listens at its own address, where TensorFlow's server takes its place later.

    Raises:
        UserError: where one cannot be reached in time, or this worker's port is taken.
    """
    others = {f"worker {index}": one for index, one in enumerate(cluster.addresses) if index != cluster.index}
    with _listening(cluster.addresses[cluster.index]):
        wait_for(
            others,
            seconds,
            f"Start the same command there, check the addresses in {TF_CONFIG} and that the port is open",
        )


def wait_for(addresses, seconds, advice):
    """Returns when something listens at every address, {name: "host:port"}.

    Raises:
        UserError: with the advice, naming those that stay silent too long.
    """
    missing, deadline = dict(addresses), time.monotonic() + seconds
    while missing := {name: address for name, address in missing.items() if not answers(address)}:
        if time.monotonic() > deadline:
            names = ", ".join(f"{name} ({address})" for name, address in missing.items())
            told = f"{names} did not join within {seconds:g} seconds. {advice}, or wait longer: {TIMEOUT}=600."
            raise UserError(told)
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def ended_after(seconds, message):
    """Ends the process with one line and exit code 2 where what is inside does not come back: it waits in TensorFlow."""

    def end():
        print(f"tfdistill: error: {message}", file=sys.stderr, flush=True)
        os._exit(2)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _is_address(text):
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def answers(address):
    """Whether something listens at "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _listening(address):
    port = int(address.rpartition(":")[2])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise UserError(
                f"{TF_CONFIG}: port {port} of this worker, {address}, cannot be had ({error.strerror}). End what uses it, such "
                "as an earlier run, or name another port for this worker, on all workers."
            ) from None
        listener.listen(128)
        yield
