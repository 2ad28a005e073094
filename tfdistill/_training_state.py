"""What a training needs to go on from the end of an epoch, in one file."""

import json
import os
import time

import numpy as np

from tfdistill import files
from tfdistill.distribution.workers import current_workers
from tfdistill.errors import UserError

INTERVAL = "TFDISTILL_CHECKPOINT_SECONDS"
DEFAULT_INTERVAL = 30.0
PROGRESS = "progress"


class TrainingState:
    """Keeps the state of a training from epoch to epoch, and gives it back to the next try.

    A state is written at the end of an epoch, atomically, no more often than every TFDISTILL_CHECKPOINT_SECONDS (30): it
    holds all variables of model and optimizer, generators of random numbers included, and is as large as they are. Of
    several workers the chief writes, and all read: `path` must be in a folder that they share.

    Args:
        path: an .npz file; `None` to keep nothing.
        model: the compiled model that is trained.

    Attributes:
        workers: the workers that train it.
    """

    def __init__(self, path, model):
        self._path, self._model = path, model
        self._interval, self._written = _interval(), time.monotonic()
        self.workers = current_workers()

    def read(self):
        """Puts the variables of model and optimizer back, all of which must be made; returns (progress, best weights).

        Returns: what `write` was given; (None, None) where there is no state.

        Raises:
            UserError: where the workers do not read the same.
        """
        progress, arrays = self._found()
        done = 0 if progress is None else len(progress["records"])
        mine, chiefs = done, self.workers.from_chief(done)[0]
        if self.workers.sums(mine != chiefs)[0]:
            raise UserError(
                f"'{self._path}': worker 0 has finished {chiefs:g} epochs, this one finds {mine}. Give all workers the same "
                "--output, a folder that they share."
            )
        if progress is None:
            return None, None
        for number, variable in enumerate(self._variables()):
            variable.assign(arrays[f"variable_{number}"])
        best = [arrays[f"best_{number}"] for number in range(progress.pop("best_weights"))]
        return progress, best or None

    def write(self, progress, best_weights):
        """Writes the state, as {str: what JSON can hold} and a list of arrays or `None`, if it is time."""
        if self._path is None:
            return
        if not self.workers.from_chief(time.monotonic() - self._written >= self._interval)[0]:
            return
        values = [np.asarray(variable) for variable in self._variables()]  # by all workers: some are spread over them
        if self.workers.is_chief:
            arrays = {f"variable_{number}": value for number, value in enumerate(values)}
            arrays |= {f"best_{number}": value for number, value in enumerate(best_weights or ())}
            content = json.dumps({**progress, "best_weights": len(best_weights or ())})
            with files.atomic_path(self._path) as temporary:
                np.savez(temporary, **arrays, **{PROGRESS: content})
        self._written = time.monotonic()

    def exists(self):
        """Whether the chief finds a state."""
        return bool(self.workers.from_chief(self._path is not None and self._path.is_file())[0])

    def _found(self):
        if self._path is None or not self._path.is_file():
            return None, None
        with np.load(self._path, allow_pickle=False) as file:
            arrays = dict(file)
        return json.loads(str(arrays.pop(PROGRESS))), arrays

    def _variables(self):
        """All variables that last from epoch to epoch, each once."""
        metrics = {id(variable) for variable in self._model.metrics_variables}
        found = {id(one): one for one in (*self._model.variables, *self._model.optimizer.variables)}
        return [variable for key, variable in found.items() if key not in metrics]


def _interval():
    given = os.environ.get(INTERVAL, DEFAULT_INTERVAL)
    try:
        return float(given)
    except ValueError:
        raise UserError(f"{INTERVAL}: expected a number of seconds, received {given!r}.") from None
