"""Items that a user has not chosen, drawn without rejection."""

import numpy as np

from tfdistill.errors import UserError

DRAWN_AT_A_TIME = 1 << 16
FINEST = 2**52  # more than a float64 between 0 and 1 tells apart is no use


class Complement:
    """Draws items in proportion to a weight among those that a user has not chosen.

    Laid end to end, the weights of all items make a line of whole numbers; a user's line lacks the stretches of the chosen
    items. A number drawn on the shorter line is moved past the missing stretches before it, which one binary search among
    all users' stretches finds. So every draw is exact and costs the same, however much the user has chosen.

    Args:
        lists: `ItemLists` of what each user has chosen.
        items: how many items there are.
        weights: float [items] of 0 or more, or None for equal ones.
        source: where the data came from, for messages.

    >>> chosen = ImplicitDataset(2, 3, {"train": [[0, 0], [0, 2], [1, 1]], "validation": [], "test": []}).lists("train")
    >>> Complement(chosen, 3).draw(np.array([0, 0]), 1, np.random.default_rng(0))
    array([[1],
           [1]], dtype=int32)
    """

    def __init__(self, lists, items, weights=None, source="interactions"):
        users = len(lists.lengths)
        self._source, self._offsets = source, lists.offsets
        if weights is None:
            self._ends, weights = None, np.ones(items, np.int64)
        else:
            # One number holds a user and a place on the line, so the line is as fine as 62 bits allow.
            scale = min(FINEST, 2**61 // max(1, users)) / weights.sum()
            weights = np.where(weights > 0, np.maximum(1, np.rint(weights * scale)), 0).astype(np.int64)
            self._ends = np.cumsum(weights)
        starts = np.cumsum(weights) - weights
        self._span = int(weights.sum()) + 1
        user = lists.users
        chosen = lists.items[np.lexsort((lists.items, user))]
        width = weights[chosen]
        before = np.cumsum(width) - width
        first = np.minimum(lists.offsets[:-1], max(0, len(chosen) - 1))
        before -= np.repeat(before[first] if len(chosen) else np.zeros(users, np.int64), lists.lengths)
        # Where on the user's own, shorter line each missing stretch was, and how much is missing up to and with it.
        self._places = user * self._span + starts[chosen] - before
        self._missing = np.concatenate([[0], before + width])
        taken = np.zeros(users, np.int64)
        full = lists.lengths > 0
        taken[full] = self._missing[lists.offsets[1:][full]]
        self._left = self._span - 1 - taken

    def draw(self, users, count, random):
        """Items for each of `users`, with replacement: int32 [len(users), count].

        Raises:
            UserError: for a user with nothing left to draw.
        """
        users = np.asarray(users, np.int64)
        left = self._left[users]
        if (left <= 0).any():
            raise UserError(
                f"{self._source}: user {users[(left <= 0).argmax()]} has no item left to draw as a negative; leave out users"
                f" who chose every item."
            )
        items = np.empty((len(users), count), np.int32)
        # A part at a time, so that what lies between stays in the processor's cache.
        step = max(1, DRAWN_AT_A_TIME // max(1, count))
        for start in range(0, len(users), step):
            part = slice(start, start + step)
            user, own = users[part, None], left[part, None]
            place = (random.random((len(user), count)) * own).astype(np.int64)
            items[part] = self._item_at(np.minimum(place, own - 1), user)
        return items

    def _item_at(self, place, users):
        stretches = np.searchsorted(self._places, users * self._span + place, side="right")
        # Nothing before the user's first stretch counts: `_missing` begins anew with every user.
        place = place + np.where(stretches > self._offsets[users], self._missing[stretches], 0)
        return (place if self._ends is None else np.searchsorted(self._ends, place, side="right")).astype(np.int32)
