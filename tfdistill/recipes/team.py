"""What a run runs on: its strategy, and the workers that share its stages."""

import contextlib
import functools
import time

from tfdistill.distribution.batches import check_divides
from tfdistill.distribution.cluster import read_cluster
from tfdistill.distribution.strategies import make_strategy
from tfdistill.distribution.workers import Workers
from tfdistill.errors import UserError

CHIEF, TOGETHER, SHARES = "chief", "together", "shares"
SECONDS_TO_BE_SEEN = 15  # what network file systems may take to show a new file


class Team:
    """The devices and workers of a run.

    Of several workers all run the same recipe with the same output folder, stage after stage. The chief decides whether a
    stage is to be done and writes what it makes; a stage is done by the chief (CHIEF), by all in step, each with its part
    of every batch (TOGETHER), or by all, each with its share of the rows (SHARES). Who has nothing to do waits where the
    next stage begins; TensorFlow tells whoever waits when another worker is gone.

    Args:
        recipe: the recipe.

    Raises:
        UserError: where its strategy cannot be had here, or a batch does not divide by the replicas.
    """

    def __init__(self, recipe):
        self._recipe = recipe
        if recipe.strategy == "parameter_server":
            raise UserError(
                "strategy: recipes do not run with parameter_server, whose workers do not wait for one another. Choose "
                "multi_worker, or train with it in a program of your own (docs/parameter_server.md)."
            )
        # Alone on one machine TensorFlow is not even imported before there is something to train.
        cluster = read_cluster() if recipe.strategy == "auto" else None
        self.workers = Workers(None)
        if recipe.strategy != "auto" or (cluster is not None and len(cluster.addresses) > 1):
            self.workers = Workers(self.strategy)

    @functools.cached_property
    def strategy(self):
        """The `tf.distribute.Strategy`."""
        strategy = make_strategy(self._recipe.strategy)
        for key, batch_size in _batch_sizes(self._recipe.resolved()):
            try:
                check_divides(batch_size, strategy.num_replicas_in_sync)
            except UserError as error:
                raise UserError(f"{key}.{error}") from None
        return strategy

    def scope(self, by):
        """The context in which a stage is worked on."""
        spreads = by == TOGETHER or (by == SHARES and self.workers.count == 1)
        if spreads and self.strategy.num_replicas_in_sync > 1:
            return self.strategy.scope()
        return contextlib.nullcontext()

    def meet(self, folder):
        """Makes sure that all workers run the same recipe in the same folder.

        Raises:
            UserError: where they do not.
        """
        workers = self.workers
        if workers.count == 1:
            return
        mine = int(self._recipe.run_name, 16)
        chiefs, token = workers.from_chief(mine, time.time_ns() % 2**50)
        if others := workers.sums(mine != chiefs)[0]:
            raise UserError(
                f"{others:g} of {workers.count} workers run another recipe than worker 0. Give all of them the same recipe, "
                "the same --set, and the same version of tfdistill."
            )
        sign = folder / f".partial-meeting-{token:.0f}"
        if workers.is_chief:
            sign.touch()
        workers.wait()
        blind = workers.sums(not _appears(sign))[0]
        if workers.is_chief:
            sign.unlink(missing_ok=True)
        if blind:
            raise UserError(
                f"{blind:g} of {workers.count} workers do not see the folder of worker 0, {folder}. Recipes of several workers "
                "need an --output folder that all of them share, under whatever path."
            )


def _appears(path):
    deadline = time.monotonic() + SECONDS_TO_BE_SEEN
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            list(path.parent.iterdir())  # makes a network file system look again
    return True


def _batch_sizes(section, path=""):
    """Pairs (key, batch size) of all trainings in a resolved recipe."""
    if isinstance(section, list):
        for number, one in enumerate(section):
            yield from _batch_sizes(one, f"{path}[{number}]")
    if not isinstance(section, dict):
        return
    for key, value in section.items():
        below = f"{path}.{key}" if path else key
        if key in ("train", "train_alone") and isinstance(value, dict) and value.get("batch_size") is not None:
            yield below, value["batch_size"]
        else:
            yield from _batch_sizes(value, below)
