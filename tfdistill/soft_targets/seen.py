"""Refusing example ids that come twice."""

import numpy as np

from tfdistill.errors import UserError


class SeenIds:
    """The example ids so far, sorted.

    Args:
        path: the cache, for messages.
    """

    def __init__(self, path):
        self._path = path
        self._sorted = np.zeros(0, np.int64)

    def add(self, example_id):
        """Adds ids int64 [n]; raises `UserError` where one is there already."""
        increases = bool((example_id[1:] > example_id[:-1]).all())
        if increases and (not len(self._sorted) or not len(example_id) or self._sorted[-1] < example_id[0]):
            self._sorted = np.concatenate([self._sorted, example_id])
            return
        # This sort merges runs that are sorted already, which the ids seen before are.
        merged = np.sort(np.concatenate([self._sorted, example_id]), kind="stable")
        repeated = np.unique(merged[1:][merged[1:] == merged[:-1]])
        if len(repeated):
            raise UserError(
                f"example_id: {len(repeated):,} ids come more than once, such as {repeated[:3].tolist()}, so the cache "
                f"'{self._path}' could not tell these examples apart. Give each example an id of its own."
            )
        self._sorted = merged
