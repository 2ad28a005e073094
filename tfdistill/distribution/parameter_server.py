"""Tables larger than one machine: variables on parameter servers, workers that do not wait for one another.

A cluster has three kinds of process, told apart by TF_CONFIG: parameter servers ("ps") that hold the variables, workers
("worker") that compute steps, and one "chief" that makes the model and hands steps out. Parameter servers and workers call
`serve`, the chief `make_parameter_server_strategy` and `fit_asynchronously`. See docs/distribution.md.
"""

import time

import keras
import tensorflow as tf

from tfdistill.distribution.cluster import TF_CONFIG, TIMEOUT, ended_after, read_jobs, wait_for, worker_timeout
from tfdistill.errors import UserError

JOBS = ("chief", "ps", "worker")
# Steps that are handed out at once; the workers stand still between one lot and the next as long as one step takes.
LOT, LOOK_SECONDS = 64, 0.002
EXAMPLE = (
    '{"cluster": {"chief": ["host0:2222"], "worker": ["host1:2222"], "ps": ["host2:2222"]}, "task": {"type": "chief", '
    '"index": 0}}'
)


def serve():
    """Serves the cluster of TF_CONFIG as the worker or the parameter server that it says, until the process is ended.

    Raises:
        UserError: where TF_CONFIG is missing or malformed, or this process is the chief.
    """
    cluster, job, index = _read_cluster()
    if job == "chief":
        raise UserError(f"{TF_CONFIG}: the chief trains, it does not serve. Call make_parameter_server_strategy.")
    tf.distribute.Server(tf.train.ClusterSpec(cluster), job_name=job, task_index=index, protocol="grpc").join()


def make_parameter_server_strategy(timeout_seconds=None):
    """Returns the `tf.distribute.ParameterServerStrategy` of the cluster of TF_CONFIG, in its chief.

    Call it before TensorFlow has run anything.

    Args:
        timeout_seconds: how long to wait for workers and parameter servers; default: the environment variable
            TFDISTILL_WORKER_TIMEOUT, or 300.

    Raises:
        UserError: where TF_CONFIG is missing or malformed, this process is not the chief, or one does not join in time.
    """
    seconds = worker_timeout(timeout_seconds)
    cluster, job, _ = _read_cluster()
    if job != "chief":
        raise UserError(
            f"{TF_CONFIG}: the strategy is made by the chief, this process is a {job}. Call "
            "tfdistill.distribution.serve() here."
        )
    _wait(cluster, seconds)
    late = f"workers and parameter servers of {TF_CONFIG} answer, but did not start within {seconds:g} seconds."
    with ended_after(seconds, late):
        return tf.distribute.ParameterServerStrategy(tf.distribute.cluster_resolver.TFConfigClusterResolver())


@keras.saving.register_keras_serializable(package="tfdistill")
class ShardedEmbedding(keras.layers.Layer):
    """An embedding table in parts, each a variable of its own, which lie on different parameter servers.

    The first rows are in the first part, and so on. A batch's rows are looked up where they lie, and nothing else is sent;
    gradients are `tf.IndexedSlices` of each part.

    Args:
        input_dim: rows of the table.
        output_dim: width.
        shards: how many parts; `None` for one a parameter server of the strategy in whose scope the layer is built.
        embeddings_initializer: of each part.

    Raises:
        ValueError: for numbers below 1.

    Example:

    >>> layer = ShardedEmbedding(5, 2, shards=2)
    >>> layer(keras.ops.array([4, 0])).shape, [tuple(weight.shape) for weight in layer.weights]
    (TensorShape([2, 2]), [(3, 2), (2, 2)])
    """

    def __init__(self, input_dim, output_dim, shards=None, embeddings_initializer="uniform", **kwargs):
        super().__init__(**kwargs)
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim), ("shards", shards or 1)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
        self.input_dim, self.output_dim, self.shards = input_dim, output_dim, shards
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape=None):
        self.shards = min(self.shards or _parameter_servers(), self.input_dim)
        for part in range(self.shards):
            rows = self.input_dim // self.shards + (part < self.input_dim % self.shards)
            initializer = self.embeddings_initializer
            if hasattr(initializer, "clone"):
                initializer = initializer.clone()
            self.add_weight(shape=(rows, self.output_dim), initializer=initializer, name=f"embeddings_{part}")
        self.built = True

    def call(self, ids):
        """Rows [..., output_dim] of whole numbers [...]."""
        rows = tf.nn.embedding_lookup([weight.value for weight in self.weights], tf.cast(ids, "int32"))
        return tf.cast(rows, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "shards": self.shards,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


def fit_asynchronously(model, batches, *, epochs, steps_per_epoch, timeout_seconds=None, on_epoch=None):
    """Trains a compiled model, such as a `Distiller`, on a parameter-server cluster: `fit` of Keras 3 cannot.

    Steps are handed to whichever worker is free and are not waited for: a step's gradients are of weights that others have
    changed meanwhile. Two runs are never quite the same, and with several workers the optimizer's count of steps can fall
    short. A worker that is lost does its step again when it is back; a parameter server that is lost ends the training,
    what it held is gone.

    Args:
        model: a `keras.Model`, made and compiled in `strategy.scope()`.
        batches: () -> `tf.data.Dataset` of batches without end (`.repeat()`), made anew by every worker, which should be
            shuffled without seed so that workers see different batches.
        epochs, steps_per_epoch: how many steps in all, and after how many the logs are read.
        timeout_seconds: how long 64 steps may take before training is given up; default: the environment variable
            TFDISTILL_WORKER_TIMEOUT, or 300.
        on_epoch: called as (epoch from 0, logs) after each, when no step is under way: the place to save the model.

    Raises:
        UserError: where the workers are lost for too long, or a parameter server is.
        ValueError: where the model is not of a parameter-server strategy.

    Returns: the logs of the epochs, [{metric: float}].
    """
    strategy, seconds = model.distribute_strategy, worker_timeout(timeout_seconds)
    if not isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise ValueError(
            "`model` must be made in the scope of a tf.distribute.ParameterServerStrategy. Received: "
            f"{type(strategy).__name__}"
        )
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    iterator = iter(coordinator.create_per_worker_dataset(batches))

    @tf.function(autograph=False)
    def step(iterator):
        strategy.run(model.train_step, args=(next(iterator),))

    history = []
    try:
        for epoch in range(epochs):
            for metric in model.metrics:
                metric.reset_state()
            for start in range(0, steps_per_epoch, LOT):
                for _ in range(min(LOT, steps_per_epoch - start)):
                    coordinator.schedule(step, args=(iterator,))
                _wait_for_steps(coordinator, seconds)
            history.append({name: float(value) for name, value in model.get_metrics_result().items()})
            if on_epoch is not None:
                on_epoch(epoch, history[-1])
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise UserError(
            "a parameter server is gone, or cannot be reached any more, with what it held. Start all processes again."
        ) from error
    return history


def _wait_for_steps(coordinator, seconds):
    deadline = time.monotonic() + seconds
    while not coordinator.done():  # raises what a step raised
        if time.monotonic() > deadline:
            raise UserError(
                f"{LOT} steps did not end within {seconds:g} seconds: no worker answers. Start the workers again, or allow "
                f"more: {TIMEOUT}={2 * seconds:g}."
            )
        time.sleep(LOOK_SECONDS)


def _read_cluster():
    """({job: addresses}, the job of this process, its number) of TF_CONFIG."""
    jobs, *task = read_jobs(JOBS, EXAMPLE) or ({}, None, None)
    if missing := [job for job in JOBS if not jobs.get(job)]:
        raise UserError(
            f"{TF_CONFIG}: strategy parameter_server needs a chief, workers and parameter servers, and which of them this "
            f"process is; it names no {', no '.join(missing)}. Expected such as {EXAMPLE}."
        )
    return jobs, *task


def _wait(cluster, seconds):
    """Returns when all workers and parameter servers answer."""
    servers = {f"{job} {index}": address for job in ("ps", "worker") for index, address in enumerate(cluster[job])}
    advice = f"Run tfdistill.distribution.serve() there, check the addresses in {TF_CONFIG} and that the ports are open"
    wait_for(servers, seconds, advice)


def _parameter_servers():
    extended = tf.distribute.get_strategy().extended
    return getattr(extended, "_num_ps", 1)
