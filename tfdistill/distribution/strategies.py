"""tf.distribute's strategies by name."""

import os

from tfdistill.distribution.cluster import TF_CONFIG, ended_after, read_cluster, wait_for_workers, worker_timeout
from tfdistill.distribution.tpu import TPU_NAME
from tfdistill.errors import UserError

NAMES = ("auto", "one_device", "mirrored", "multi_worker", "parameter_server", "tpu")
_made = {}  # a process can join its cluster only once


def make_strategy(name="auto", timeout_seconds=None):
    """Returns the `tf.distribute.Strategy` that a name stands for; models and optimizers are made in its `scope()`.

    | name | replicas | needs |
    |---|---|---|
    | `"one_device"` | 1: TensorFlow's default strategy, the first GPU or the CPU | |
    | `"mirrored"` | one a device of this machine | two GPUs, or logical CPU devices |
    | `"multi_worker"` | one a device of every machine | TF_CONFIG, with two workers |
    | `"parameter_server"` | workers that do not wait for one another | TF_CONFIG, with workers and parameter servers |
    | `"tpu"` | one a TPU core | a TPU |
    | `"auto"` | as many as there are: `multi_worker` where TF_CONFIG names several workers, `tpu` where TPU_NAME names one, `mirrored` where there are several GPUs, else `one_device` | |

    Call it before TensorFlow has run anything: it sets up the devices. Asked again it returns the same strategy.

    Args:
        name: see above.
        timeout_seconds: how long to wait for the other workers; default: the environment variable
            TFDISTILL_WORKER_TIMEOUT, or 300.

    Raises:
        ValueError: for another name.
        UserError: where the machine does not have what the strategy needs, TF_CONFIG is malformed, or a worker does not
            join in time.

    >>> make_strategy("one_device").num_replicas_in_sync
    1
    """  # noqa: E501
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(map(repr, NAMES))}. Received: name={name!r}")
    seconds = worker_timeout(timeout_seconds)
    if name == "auto":
        name = _best()
    if name not in _made:
        _made[name] = _MAKERS[name](seconds)
    return _made[name]


def _best():
    import tensorflow as tf

    cluster = read_cluster()
    if cluster is not None and len(cluster.addresses) > 1:
        return "multi_worker"
    if os.environ.get(TPU_NAME):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one_device"


def _one_device(seconds):
    import tensorflow as tf

    return tf.distribute.get_strategy()


def _mirrored(seconds):
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise UserError(
            f"strategy: mirrored needs at least two devices, this machine has {len(devices)} ({devices[0].name}). Choose "
            "one_device, or auto."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker(seconds):
    import tensorflow as tf

    cluster = read_cluster()
    if cluster is None or len(cluster.addresses) < 2:
        count = 0 if cluster is None else len(cluster.addresses)
        raise UserError(
            f"strategy: multi_worker needs at least two workers in the environment variable {TF_CONFIG}, it names {count}. "
            "Choose mirrored for the devices of one machine, or set it as docs/distribution.md shows."
        )
    wait_for_workers(cluster, seconds)
    late = f"the workers of {TF_CONFIG} met, but did not start to work together within {seconds:g} seconds. Start all again."
    with ended_after(seconds, late):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            if "program startup" not in str(error):
                raise
            raise UserError(
                "strategy: multi_worker has to be made before TensorFlow has run anything in this process. Call "
                "make_strategy first."
            ) from error


def _parameter_server(seconds):
    from tfdistill.distribution.parameter_server import make_parameter_server_strategy

    return make_parameter_server_strategy(timeout_seconds=seconds)


def _tpu(seconds):
    from tfdistill.distribution.tpu import make_tpu_strategy

    return make_tpu_strategy(timeout_seconds=seconds)


_MAKERS = {
    "one_device": _one_device,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "parameter_server": _parameter_server,
    "tpu": _tpu,
}
