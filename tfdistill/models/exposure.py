"""A second task for a ranker: which items a user meets at all."""

import keras
import numpy as np


def with_exposure_head(ranker):
    """Adds a logit for "was this pair rated at all?" beside the ranker's own, on the same embeddings and layers.

    Whom a user's ratings are about says as much of the user's taste as the ratings themselves, and rated pairs against
    unrated ones are plentiful. The second task trains the shared embeddings with that; the ranker itself, whose weights
    these are, is what is kept.

    Source: Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, arXiv 1804.07931, for the shared embeddings (there the
    click is the exposure of the purchase); Koren, "Factorization Meets the Neighborhood", KDD 2008, for what implicit
    feedback adds to ratings.

    Args:
        ranker: a functional model with a last layer called "logits".

    Returns: a `keras.Model` with outputs [logits, exposure logits], each float32 [batch, 1].
    """
    shared = ranker.get_layer("logits").input
    exposure = keras.layers.Dense(1, dtype="float32", name="exposure")(shared)
    return keras.Model(ranker.input, [ranker.output, exposure], name=f"{ranker.name}_with_exposure")


class ExposureSet:
    """The columns for `with_exposure_head`: every training row, and as many pairs that no one rated.

    An unrated pair is a row's user with the item of another row, drawn anew for every epoch: items come as often as
    they are rated, so that popularity alone does not solve the task.

    Args:
        dataset: the data.
        seed: fixes the draws.
    """

    def __init__(self, dataset, seed):
        self.dataset, self.seed = dataset, seed
        self.rows = dataset.rows("train")
        self.user, self.item = dataset.user[self.rows], dataset.item[self.rows]
        self.items = dataset.fields[1].size
        self.rated_keys = np.unique(self._keys(self.item))
        self.rated, self.label = dataset.inputs(self.rows), dataset.label[self.rows][:, None]
        self.rows_per_epoch = 2 * len(self.rows)

    def epoch(self, number):
        """(x, [label, exposure], [weight of the label, weight of the exposure]) of one epoch."""
        item = np.random.default_rng([self.seed, number]).permutation(self.item)
        unrated = self.dataset.pair_inputs(self.user, item, self.rows)
        is_unrated = np.isin(self._keys(item), self.rated_keys, assume_unique=False, invert=True)
        ones, zeros = np.ones_like(self.label), np.zeros_like(self.label)
        x = {name: np.concatenate([column, unrated[name]]) for name, column in self.rated.items()}
        y = [np.concatenate([self.label, zeros]), np.concatenate([ones, zeros])]
        weights = [np.concatenate([ones, zeros]), np.concatenate([ones, is_unrated.astype(ones.dtype)[:, None]])]
        return x, y, [weight[:, 0] for weight in weights]

    def _keys(self, item):
        return self.user.astype(np.int64) * self.items + item
