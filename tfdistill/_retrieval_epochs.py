"""What happens between the epochs of a `RetrievalDistiller`: losses are told, and may look at the student as it stands."""

import keras

from tfdistill.models.retrieval import item_vectors, user_vectors


class BeginEpochs(keras.callbacks.Callback):
    """Tells losses which epoch begins."""

    def __init__(self, losses):
        super().__init__()
        self._losses = losses

    def on_epoch_begin(self, epoch, logs=None):
        for loss in self._losses:
            loss.begin_epoch(epoch, self.params["epochs"])


class StudentScores:
    """Scores of the student as it stands, its vectors computed once an epoch."""

    def __init__(self, student, dataset):
        self._student, self._dataset, self.batches = student, dataset, None
        self._epoch, self._vectors = None, None

    def _current(self):
        epoch = None if self.batches is None else self.batches.epoch
        if self._vectors is None or self._epoch != epoch:
            self._vectors = user_vectors(self._student, self._dataset), item_vectors(self._student, self._dataset)
            self._epoch = epoch
        return self._vectors

    def of_users(self, users):
        user, item = self._current()
        return user[users] @ item.T

    def of_items(self, items):
        user, item = self._current()
        return item[items] @ user.T
