"""The batches that a retrieval student is trained on, negatives and candidates drawn anew before every epoch."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from tfdistill._retrieval_windows import WindowBatches
from tfdistill.data.negatives import UniformNegatives
from tfdistill.data.random_streams import generator
from tfdistill.losses.ranking_loss import RankingContext, check_count


class EpochBatches(keras.utils.PyDataset):
    """Batches of arrays that a function makes anew for every epoch.

    Args:
        make: (epoch from 0) -> structure of arrays with as many rows each, in the order in which they are to come.
        batch_size: rows a batch.
        drop_remainder: whether to leave out the last batch where it is smaller.
        first_epoch: number of the first epoch.

    >>> batches = EpochBatches(lambda epoch: {"item": np.arange(3) + epoch}, batch_size=2)
    >>> [batch["item"].tolist() for batch in batches]
    [[0, 1], [2]]
    """

    def __init__(self, make, batch_size, drop_remainder=False, first_epoch=0):
        super().__init__()
        self._make, self._drop_remainder = make, drop_remainder
        self.batch_size = check_count("batch_size", batch_size)
        self._epoch, self._is_fresh = first_epoch, False
        self._arrays = None

    @property
    def epoch(self):
        """The number of the epoch whose batches these are."""
        return self._epoch

    def prepare(self):
        """The arrays of the epoch."""
        if self._arrays is None:
            self._arrays = self._make(self._epoch)
            # Keras looks at the first batches before it announces the first epoch.
            self._is_fresh = True
        return self._arrays

    @property
    def num_batches(self):
        rows = len(keras.tree.flatten(self.prepare())[0])
        return rows // self.batch_size if self._drop_remainder else -(-rows // self.batch_size)

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return keras.tree.map_structure(lambda array: array[rows], self.prepare())

    def on_epoch_begin(self):
        self.prepare()
        if not self._is_fresh:
            self._epoch += 1
            self._arrays = self._make(self._epoch)
        self._is_fresh = False


class RetrievalBatches(keras.utils.PyDataset):
    """The training pairs of a data set in batches, in a new order and with new negatives and candidates every epoch.

    A batch is {"user": int32 [b], "item": int32 [b], "negative": int32 [b, n], "candidates": {"0": {...}, ...}}, with
    the candidates of those losses, by their place, that compare scores of candidates: {"item": int32 [b, n], ...} for
    the batch's users, or items. Losses with rows="all" have rows of their own: "row" int32 [b], and "row_weight", how many each
    stands for.

    With `windows` rows are windows of users: "user" is {"user": int32 [b], "history": int32 [b, L]}, "item" int32 [b, L]
    and "negative" int32 [b, L, n] hold item numbers + 1, 0 where there is none, and "place" int32 [rows] says which of the
    b * L places are looked at: all with a target, and as many others as all batches need to have one shape.

    Args:
        dataset: `ImplicitDataset`.
        batch_size: pairs, or windows, a batch.
        negatives: how many a pair, 0 for none.
        negatives_from: what draws them, an object with `draw(users, count, seed=, epoch=)` such as
            `tfdistill.data.PopularityNegatives`; default: `UniformNegatives`, all that the user did not choose alike.
        losses: the distillation losses.
        rankings, item_rankings: the teacher's, see `RankingContext`.
        student_scores, student_item_scores: functions that give the student's scores, see `RankingContext`.
        epochs: how many epochs there are in all.
        seed: whole number of at least 0; what is drawn depends on it and the number of the epoch.
        drop_remainder: whether to leave out the last batch where it is smaller.
        first_epoch: number of the first epoch, where training goes on.
        windows: of `tfdistill.data.next_item_windows`, to train on instead of the pairs.
        takes_all_places: whether to leave out "place", as replicas want it that share a batch.

    Raises:
        ValueError: for losses with rows of the batch's items, beside windows.
    """

    def __init__(
        self,
        dataset,
        batch_size=1024,
        negatives=1,
        negatives_from=None,
        losses=(),
        rankings=None,
        item_rankings=None,
        student_scores=None,
        student_item_scores=None,
        epochs=1,
        seed=0,
        drop_remainder=False,
        first_epoch=0,
        windows=None,
        takes_all_places=False,
    ):
        super().__init__()
        self._takes_all_places = takes_all_places
        self.dataset, self.losses, self.seed, self.epochs = dataset, tuple(losses), seed, epochs
        self._batches = EpochBatches(self._make, batch_size, drop_remainder, first_epoch)
        self._count = check_count("negatives", negatives, at_least=0)
        self._negatives = negatives_from or UniformNegatives(dataset)
        self._context = {
            "rankings": rankings,
            "item_rankings": item_rankings,
            "student_scores": student_scores,
            "student_item_scores": student_item_scores,
        }
        self._candidates, self._ahead = {}, Ahead(self._rows_of, epochs)
        self._rows, self._windows = len(dataset.pairs["train"] if windows is None else windows["user"]), None
        if windows is not None:
            for loss in self.losses:
                if hasattr(loss, "draw") and (loss.side, loss.rows) == ("item", "batch"):
                    raise ValueError(
                        f'{type(loss).__name__}: with side="item", a model that reads histories needs rows="all". '
                        'Received: rows="batch"'
                    )
            orders = (self._order(epoch) for epoch in range(first_epoch, max(epochs, first_epoch + 1)))
            self._windows = WindowBatches(windows, batch_size, orders)

    @property
    def epoch(self):
        """The number of the epoch whose batches these are."""
        return self._batches.epoch

    @property
    def num_batches(self):
        return self._batches.num_batches

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        _, tables = self.whole_epoch()
        batch = self.assemble(self._batches[index], tables)
        return keras.tree.map_structure(lambda tensor: tensor.numpy(), batch)

    @property
    def batch_size(self):
        """Rows a batch."""
        return self._batches.batch_size

    def whole_epoch(self):
        """(arrays, tables): arrays with a row for each of the epoch's, in the order in which they are to come, and the
        candidates of losses by their place, {"0": {name: array [users or items, n]}}."""
        arrays = self._batches.prepare()
        return arrays, {place: drawn for place, (_, drawn) in self._candidates.items()}

    def assemble(self, arrays, tables):
        """A batch of tensors, from its rows of the epoch's arrays and the whole of its tables."""
        batch = dict(keras.tree.map_structure(tf.convert_to_tensor, arrays))
        rows = batch.pop("rows")
        if self._windows is not None and not self._takes_all_places:
            batch["place"] = self._windows.places(batch["item"])
        if tables:
            batch["candidates"] = {}
        for place, drawn in tables.items():
            side, _ = self._candidates[place]
            row = rows.get(place, batch[side][side] if isinstance(batch[side], dict) else batch[side])
            gathered = {name: tf.gather(array, row) for name, array in drawn.items()}
            if place in rows:
                count = self.dataset.users if side == "user" else self.dataset.items
                size = tf.shape(row) if row.shape[0] is None else row.shape
                weight = tf.cast(count, "float32") / tf.cast(size[0], "float32")
                gathered |= {"row": row, "row_weight": tf.fill(size, weight)}
            batch["candidates"][place] = gathered
        return batch

    def on_epoch_begin(self):
        self._batches.on_epoch_begin()

    def _order(self, epoch):
        return generator("order of pairs", self.seed, epoch).permutation(self._rows)

    def _rows_of(self, epoch):
        """The arrays of an epoch that the student has no part in."""
        order = self._order(epoch)

        def draw(users):
            return self._negatives.draw(users, self._count, seed=self.seed, epoch=epoch)

        if self._windows is not None:
            return self._windows.arrays(order, draw if self._count else None)
        pairs = self.dataset.pairs["train"][order]
        negatives = {"negative": draw(pairs[:, 0])} if self._count else {}
        return {"user": pairs[:, 0], "item": pairs[:, 1], **negatives}

    def _make(self, epoch):
        arrays = self._ahead(epoch)
        context = RankingContext(self.dataset, epoch=epoch, epochs=self.epochs, **self._context)
        self._candidates, arrays["rows"] = {}, {}
        for place, loss in enumerate(self.losses):
            if hasattr(loss, "draw"):
                random = generator("candidates", self.seed, epoch, place)
                self._candidates[str(place)] = (loss.side, checked(loss.draw(context, random), context, loss))
                if loss.rows == "all":
                    arrays["rows"][str(place)] = _in_turn(context.rows(loss.side), self._rows, random)
        return arrays


class Ahead:
    """Calls a function for one number after the other, and in a thread of its own already for the next.

    Args:
        function: (number) -> result.
        count: the numbers are below it.
    """

    def __init__(self, function, count):
        self._function, self._count = function, count
        self._pool, self._number, self._future = ThreadPoolExecutor(1), None, None

    def __call__(self, number):
        """The function's result for a number."""
        result = self._future.result() if self._number == number else self._function(number)
        self._number = number + 1 if number + 1 < self._count else None
        self._future = None if self._number is None else self._pool.submit(self._function, self._number)
        return result


def _in_turn(rows, count, random):
    """Rows in a new order, again and again until there are `count`: int32 [count]."""
    orders = [random.permutation(rows) for _ in range(-(-count // rows))]
    return np.concatenate(orders)[:count].astype(np.int32)


def checked(drawn, context, loss):
    """Returns what a loss has drawn; raises `ValueError` where it does not fit the data set."""
    rows, choices = context.rows(loss.side), context.choices(loss.side)
    items = drawn["item"]
    for name, array in drawn.items():
        if array.ndim != 2 or len(array) != rows or array.shape[1] not in (1, items.shape[1]):
            raise ValueError(
                f'{type(loss).__name__}.draw: "{name}" must have the shape [{rows}, {items.shape[1]}]. Received: {array.shape}'
            )
    if items.min() < 0 or items.max() >= choices:
        raise ValueError(
            f"{type(loss).__name__}.draw: candidates must be numbers from 0 to {choices - 1}. "
            f"Received: {items.min()} to {items.max()}"
        )
    return {name: array.astype("int32" if name == "item" else "float32") for name, array in drawn.items()}
