"""Rated pairs against unrated ones, epoch by epoch."""

import numpy as np

from tfdistill.data.random_streams import generator
from tfdistill.data.unrated import contains, pair_keys


class ExposureSet:
    """The columns of a model with two outputs, "was it liked?" and "was it rated?": `models.with_exposure_head`.

    An epoch holds every training row and as many unrated pairs. An unrated pair is a row's user with the item of another
    row, drawn anew every epoch: items come as often as they are rated, so that popularity alone does not solve the task.
    A pair drawn so that happens to be rated in training has no weight.

    Args:
        dataset: `Dataset`.
        seed: non-negative integer, fixes the draws.

    Attributes:
        rows_per_epoch: twice the number of training rows.
    """

    def __init__(self, dataset, seed):
        self._seed, self._items = seed, dataset.fields[1].size
        self._rated = dataset.pairs(dataset.rows("train"))
        self._label = dataset.label[dataset.rows("train")][:, None]
        self._keys = np.unique(pair_keys(self._rated["user_row"], self._rated["item_row"], self._items))
        self.rows_per_epoch = 2 * len(self._label)

    def epoch(self, number):
        """Returns (pairs, (liked, rated), (weight of liked, weight of rated)) of epoch `number`, counted from 0.

        pairs are the columns of `Dataset.pairs`, the labels float32 [rows, 1], the weights float32 [rows].
        """
        drawn = generator("exposure", self._seed, number).permutation(self._rated["item_row"])
        unrated = {**self._rated, "item_row": drawn}
        is_rated = contains(self._keys, pair_keys(unrated["user_row"], drawn, self._items))
        pairs = {name: np.concatenate([column, unrated[name]]) for name, column in self._rated.items()}
        ones, zeros = np.ones_like(self._label), np.zeros_like(self._label)
        liked, rated = np.concatenate([self._label, zeros]), np.concatenate([ones, zeros])
        return pairs, (liked, rated), (rated[:, 0], np.concatenate([ones[:, 0], (~is_rated).astype(ones.dtype)]))
