"""What a distilled student sees: rows with and without a label, the teacher's answers beside them."""

import numpy as np

from tfdistill.recipes.tasks import task_of

TEACHER_LOGITS = "teacher_logits"
EXAMPLE_ID = "example id"  # has a space, which no field of the data has


class TransferSet:
    """What a distilled student sees in an epoch: every row with a label, and others without that change from epoch to epoch.

    Args:
        dataset: the data.
        soft_targets: the `SoftTargets` of its training rows and of the pool.
        pool: example_id of the rows without a label (pairs that nobody rated) and the columns that stand for them.
        unrated_ratio: so many of them per row with one.

    Attributes:
        teacher: the `CachedTeacher` that reads the answers.
        rows_per_epoch: rows of an epoch.
    """

    def __init__(self, dataset, soft_targets, pool, unrated_ratio):
        rows, self._task = dataset.rows("train"), task_of(dataset)
        self.teacher = cached_teacher(soft_targets.features)
        self.unrated_per_epoch = round(unrated_ratio * len(rows))
        self.rows_per_epoch = len(rows) + self.unrated_per_epoch
        self.label = self._task.labels(dataset, rows)
        self._dataset, self._soft_targets = dataset, soft_targets
        columns = self._task.columns(dataset, rows)
        self._rated = self._with_answers(columns, dataset.example_id[rows])
        unrated = {name: pool[name].astype(np.int32) for name in columns}
        self._pool = self._with_answers(unrated, pool["example_id"])

    def epoch(self, number):
        """The columns (x, y) of an epoch: the next pairs of the pool, from its beginning again when it is used up.

        x holds the columns that stand for the inputs and teacher_logits float32 [rows, k], and example ids where the
        losses read hidden layers of the teacher.
        """
        if not self.unrated_per_epoch:
            return self._rated, self.label
        drawn = (number * self.unrated_per_epoch + np.arange(self.unrated_per_epoch)) % len(self._pool[TEACHER_LOGITS])
        x = {name: np.concatenate([column, self._pool[name][drawn]]) for name, column in self._rated.items()}
        y = np.concatenate(
            [self.label, np.full((len(drawn), *self.label.shape[1:]), self._task.unlabeled, self.label.dtype)]
        )
        return x, y

    def transform(self):
        """Returns what makes the inputs of student and teacher of a batch of the columns, in tf.data."""
        import tensorflow as tf

        expand, features = self._task.expander(self._dataset), self.teacher.features
        if not features:
            return expand

        def read(example_id):
            answers = self._soft_targets.lookup(example_id)
            return [answers[layer] for layer in features]

        def expand_with_features(columns):
            columns = dict(columns)
            example_id = columns.pop(EXAMPLE_ID)
            values = tf.numpy_function(read, [example_id], [tf.float32] * len(features), stateful=False)
            for (layer, column), value in zip(features.items(), values, strict=True):
                columns[column] = tf.ensure_shape(value, [example_id.shape[0], *self._soft_targets.features[layer]])
            return expand(columns)

        return expand_with_features

    def _with_answers(self, columns, example_id):
        """Logits are few enough to be at hand for all rows; hidden layers are read a batch at a time, by example id."""
        columns = {**columns, TEACHER_LOGITS: self._soft_targets.lookup(example_id)["logits"]}
        return columns | ({EXAMPLE_ID: example_id} if self.teacher.features else {})


def cached_teacher(layers):
    """Returns the `CachedTeacher` of logits and hidden layers, under names that no field of the data has."""
    from tfdistill.teachers import CachedTeacher

    return CachedTeacher(TEACHER_LOGITS, {layer: f"{TEACHER_LOGITS} {layer}" for layer in layers})
