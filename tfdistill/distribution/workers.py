"""The workers of a job: who is the chief, what it tells the others, and what it means when one is gone."""

import contextlib
import functools

from tfdistill.distribution.cluster import read_cluster
from tfdistill.errors import UserError


class Workers:
    """The workers that share the work, of which this process is one.

    Args:
        strategy: `tf.distribute.Strategy`; `None` for this process alone.

    Attributes:
        count: how many there are; 1 but for `MultiWorkerMirroredStrategy`.
        index: which one this is.
        is_chief: whether it writes what is written once.
    """

    def __init__(self, strategy):
        self._strategy, self.count, self.index = strategy, 1, 0
        if strategy is not None and _has_workers(strategy):
            cluster = read_cluster()
            self.count, self.index = len(cluster.addresses), cluster.index
        self.is_chief = self.index == 0

    def sums(self, *values):
        """The sums of numbers over all workers, when all have asked for them: a list of floats."""
        if self.count == 1:
            return [float(value) for value in values]
        import tensorflow as tf

        told = self._sum(tf.constant(values, tf.float64))
        return [float(value) for value in told.numpy()]

    def from_chief(self, *values):
        """The chief's numbers, when all have come here: a list of floats. What the others give is not looked at."""
        return self.sums(*(values if self.is_chief else [0.0] * len(values)))

    def wait(self):
        """Returns when all workers have come here."""
        self.sums(0.0)

    @functools.cached_property
    def _sum(self):
        import tensorflow as tf

        strategy = self._strategy

        def of_replica(values):
            context = tf.distribute.get_replica_context()
            # A worker with several replicas is counted once.
            shares = values / len(strategy.extended.worker_devices)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, shares)

        def over_workers(values):
            return strategy.experimental_local_results(strategy.run(of_replica, args=(values,)))[0]

        return tf.function(over_workers, autograph=False, reduce_retracing=True)


def _has_workers(strategy):
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def current_workers():
    """The `Workers` of the strategy in whose scope this is called."""
    import tensorflow as tf

    return Workers(tf.distribute.get_strategy())


@contextlib.contextmanager
def lost_workers_told(count):
    """While it lasts, what TensorFlow raises in one of several workers when another is gone is a `UserError`."""
    if count == 1:
        yield
        return
    import tensorflow as tf

    gone = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    try:
        yield
    except gone as error:
        reason = str(error).split("\n")[0][:200]
        raise UserError(
            "another worker is gone, or cannot be reached any more. See what it said last, then start all workers again with "
            f"the same command: they go on from the last checkpoint. ({reason})"
        ) from error
