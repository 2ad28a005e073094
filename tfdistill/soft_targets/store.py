"""A cache of soft targets, opened for reading."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdistill.errors import UserError
from tfdistill.soft_targets import top_k as top
from tfdistill.soft_targets.fingerprint import teacher_fingerprint
from tfdistill.soft_targets.input_sketches import differs, named_inputs
from tfdistill.soft_targets.manifest import Manifest, check_teacher
from tfdistill.soft_targets.pipeline import attach
from tfdistill.soft_targets.rows import RowIndex
from tfdistill.soft_targets.shards import (
    EXAMPLE_ID,
    INPUT_SKETCH,
    LOGITS,
    Shards,
    damaged,
    damaged_file,
    feature_column,
)
from tfdistill.soft_targets.sources import check_ids
from tfdistill.teachers import CachedTeacher


class SoftTargets:
    """What a teacher said of a data set, by example id. Made by `write_soft_targets` and by `SoftTargets.open`.

    Attributes:
        path: the folder.
        teacher_fingerprint: the identity of the teacher.
        top_k: how many logits an example has, `None` for all.
        dtype: `"float32"` or `"float16"`, as stored.
        logits_shape: the shape of an example's logits, such as `(classes,)`.
        features: {name of a feature: the shape of an example's}.
    """

    def __init__(self, path, manifest):
        self.path = Path(path)
        self.teacher_fingerprint = manifest.settings["teacher"]
        self.top_k = manifest.settings["top_k"]
        self.dtype = manifest.settings["dtype"]
        self.logits_shape = tuple(manifest.shapes[LOGITS])
        self.features = {name: tuple(manifest.shapes[name]) for name in manifest.settings["features"]}
        self._inputs = manifest.inputs
        self._shards = Shards(path, manifest.shards)
        self._index = RowIndex(self._shards.all(EXAMPLE_ID))

    @classmethod
    def open(cls, path, *, teacher=None, fingerprint=None, verify=True):
        """Opens a cache for training.

        Args:
            path: the folder.
            teacher: the teacher that must have written it, as `teacher_fingerprint` takes it.
            fingerprint: its fingerprint instead. With neither, whoever wrote it is taken.
            verify: whether to compare every file with its checksum, which reads all of them.

        Raises:
            UserError: where there is no cache, an unfinished one or one of another format; where a file is missing, cut
                off or changed; and for a cache of another teacher.
            ValueError: for a teacher together with a fingerprint.
        """
        if teacher is not None and fingerprint is not None:
            raise ValueError("Pass `teacher` or `fingerprint`, not both.")
        manifest = Manifest.read(path)
        if teacher is not None:
            fingerprint = teacher_fingerprint(teacher)
        if fingerprint is not None:
            check_teacher(path, manifest.settings["teacher"], fingerprint)
        if not manifest.complete:
            raise UserError(
                f"The soft-target cache '{path}' is unfinished: it has {manifest.examples:,} examples so far. Call "
                "write_soft_targets again with the same arguments, which goes on from there."
            )
        for number, entry in enumerate(manifest.shards if verify else ()):
            file = damaged_file(path, number, entry)
            if file is not None:
                raise damaged(file)
        return cls(path, manifest)

    def __len__(self):
        """The number of examples."""
        return len(self._shards)

    def __repr__(self):
        return (
            f"SoftTargets(path={str(self.path)!r}, examples={len(self)}, logits_shape={self.logits_shape}, "
            f"top_k={self.top_k}, dtype={self.dtype!r}, features={list(self.features)})"
        )

    @property
    def example_id(self):
        """The ids of all examples, int64 [n], in the order of writing."""
        return self._shards.all(EXAMPLE_ID)

    def lookup(self, example_id):
        """Returns {"logits": float32 [n, classes], feature: float32 [n, ...]} of the examples with these ids.

        With `top_k` the mass of the other classes is spread evenly over them: each has the logit rest - log m, with
        rest = log Σ e^z over the m others.

        Args:
            example_id: integers [n], in any order, also repeated.

        Raises:
            UserError: for ids that are not in the cache (how many, and which).
        """
        rows = self._rows(example_id)
        answers = self._restored({name: self._shards.take(name, rows) for name in self._columns(self.features)})
        return {name: value.numpy() for name, value in answers.items()}

    def check_inputs(self, example_id, inputs):
        """Raises unless these examples look as they did to the teacher.

        The inputs that both have, by name, are compared by a number that stands for each (see `input_sketches`).

        Args:
            example_id: integers [n].
            inputs: array [n, ...], or dict or tuple of arrays, as `write_soft_targets` was given them. Others beside
                them, such as columns of a dict that only the student reads, do not matter.

        Raises:
            UserError: where they are others, or where they have no name in common.
        """
        rows = self._rows(example_id)
        columns = named_inputs(inputs)
        if self._inputs == [""] and len(columns) == 1:  # an array alone has no name
            columns = {"": next(iter(columns.values()))}
        common = [name for name in columns if name in self._inputs]
        if not common:
            raise UserError(
                f"The inputs cannot be compared with those that the teacher labelled: they have the names {list(columns)}, "
                f"those of the teacher were {self._inputs}. Name them alike, or pass check_inputs=False where the "
                "student sees the same examples in another form."
            )
        sketches = self._shards.take(INPUT_SKETCH, rows)
        for name in common:
            changed = differs(sketches[:, self._inputs.index(name)], columns[name])
            if changed.any():
                first = check_ids(np.asarray(example_id))[changed.argmax()]
                raise UserError(
                    f"The input {name!r} of {changed.sum():,} of {len(rows):,} examples, such as id {first}, is not what the "
                    f"teacher of '{self.path}' saw. Cached soft targets are wrong for inputs that change, as by random "
                    "augmentation: ask a live teacher there. If the preparation of the data has changed, write them again."
                )

    def attach(
        self,
        dataset,
        *,
        id_key="example_id",
        column="teacher_logits",
        features=None,
        check_inputs=True,
        memory_limit=2**31,
    ):
        """Returns a tf.data.Dataset whose batches hold the teacher's answers beside the inputs.

        Attach last: what comes after in the pipeline is not compared with what the teacher saw.

        Args:
            dataset: batches of x, (x, y) or (x, y, sample_weight), where x is a dict with a column of ids.
            id_key: the name of that column, integers [batch] or [batch, 1].
            column: the name for the logits, float32 [batch, classes]; `tfdistill.teachers.CachedTeacher(column)` reads them.
            features: the stored features to add, by name, or {name: name of its column}; `None` for all. Without a name of
                its own a column is called as `CachedTeacher(features=[...])` reads it: "encoder/dense" is
                "teacher_encoder_dense".
            check_inputs: whether to compare the first batch with what the teacher saw. `False` is for a student that
                reads the same examples in another form, such as indices where the teacher reads names.
            memory_limit: bytes up to which the soft targets are held in memory; larger ones are read from the files as
                they are needed.

        Raises:
            UserError: for ids that are not in the cache, and for inputs other than those that the teacher saw, as random
                augmentation makes them; both in the first batch. Unknown ids in a later batch stop the training with
                `tf.errors.InvalidArgumentError`.
            ValueError: for a dataset of another form, a column that is there already, and a feature that is not stored.

        Example:

        >>> ages = numpy.array([[31.0], [52.0]], "float32")
        >>> targets = write_soft_targets("soft", lambda x: 2 * x["age"], {"age": ages}, [7, 3], fingerprint="twice the age")
        >>> batches = tf.data.Dataset.from_tensor_slices({"example_id": [3, 7], "age": ages[::-1]}).batch(2)
        >>> next(iter(targets.attach(batches)))["teacher_logits"].numpy().tolist()
        [[104.0], [62.0]]
        """
        features = self.features if features is None else features
        if not isinstance(features, dict) or features is self.features:
            features = CachedTeacher(column, list(features)).features
        unknown = [name for name in features if name not in self.features]
        if unknown:
            raise ValueError(f"`features`: {unknown} are not in the cache. It has: {list(self.features)}")
        return attach(self, dataset, id_key, {LOGITS: column, **features}, check_inputs, memory_limit)

    def _rows(self, example_id):
        example_id = check_ids(np.asarray(example_id))
        rows = self._index.rows(example_id)
        unknown = np.unique(example_id[rows < 0])
        if len(unknown):
            raise UserError(
                f"The soft-target cache '{self.path}' has no answer for {len(unknown):,} of the ids, such as "
                f"{unknown[:3].tolist()}. Write it for these examples too, or leave them out."
            )
        return rows

    def _columns(self, features):
        """The stored arrays that the logits and some features are made of."""
        logits = [LOGITS] if self.top_k is None else [top.TOP_LOGITS, top.TOP_CLASSES, top.REST]
        return logits + [feature_column(list(self.features).index(name)) for name in features]

    def _restored(self, columns):
        """{"logits": ..., feature: ...} as float32 tensors, of rows of the stored arrays."""
        if self.top_k is None:
            answers = {LOGITS: tf.cast(columns[LOGITS], tf.float32)}
        else:
            answers = {LOGITS: top.restore(columns, self.logits_shape[0])}
        for number, name in enumerate(self.features):
            if feature_column(number) in columns:
                answers[name] = tf.cast(columns[feature_column(number)], tf.float32)
        return answers
