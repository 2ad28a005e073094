"""A retrieval file, run for the users of a data set: what it ranks, and how good that is."""

import dataclasses
from pathlib import Path

import numpy as np

from tfdistill.errors import UserError
from tfdistill.export.retrieval_ids import raw_ids

BATCH_SIZE = 256


def rank_with_file(
    path,
    dataset,
    k,
    exclude=("train", "validation"),
    *,
    users=None,
    history=None,
    user_vectors=None,
    threads=1,
    batch_size=BATCH_SIZE,
    progress=None,
):
    """Runs a file of `export_retrieval` for users of the data set that it was made for.

    The file leaves out what it knows or is told that users have seen; what is left of `exclude` in its answer is taken out
    afterwards, from a longer answer where it takes one.

    Args:
        path: a SavedModel folder (run by TensorFlow) or a TFLite file (run by LiteRT, without TensorFlow).
        dataset: `ImplicitDataset`.
        k: how many items a user.
        exclude: parts of the data set whose items must not be in the answer.
        users: int [n], whom to rank for; `None` for all.
        history: parts that the histories are taken from, for a file that takes some; `None` for those of `exclude`.
        user_vectors: float32 [users, d], for a file that takes vectors.
        threads: threads for LiteRT.
        batch_size: users a call.
        progress: called as (users done, users in all) after every batch.

    Returns: `(items, scores)`, int32 and float32 [n, k], best first; -1 and minus infinity where no item is left.

    Raises:
        UserError: for a path that is no retrieval file, or one made for other items; a TFLite file that returns too few.

    >>> items, scores = rank_with_file("retrieval.tflite", dataset, k=10)
    >>> items.shape
    (6040, 10)
    """
    users = np.arange(dataset.users) if users is None else np.asarray(users)
    if not 1 <= k <= dataset.items:
        raise ValueError(f"`k` must be from 1 to the number of items, {dataset.items}. Received: k={k}")
    file = _open(path, dataset, exclude, history, user_vectors, threads)
    items, scores = np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32)
    for start in range(0, len(users), batch_size):
        rows = np.arange(start, min(start + batch_size, len(users)))
        count = k
        while len(rows):
            found, found_scores = file.best(users[rows], count)
            ended = (found < 0).any(1) | (found.shape[1] >= dataset.items)
            found, found_scores = _without_excluded(found, found_scores, file.excluded, users[rows])
            found, found_scores = found[:, :k], found_scores[:, :k]
            items[rows, : found.shape[1]], scores[rows, : found.shape[1]] = found, found_scores
            is_short = ((found >= 0).sum(1) < k) & ~ended
            if is_short.any() and file.k is not None:
                raise UserError(
                    f"{path}: returns {file.k} items, of which {(found >= 0).sum(1).min()} are left for user "
                    f"{users[rows[is_short]][0]} without those of {exclude}; {k} were asked for. Export it with a larger k."
                )
            rows, count = rows[is_short], min(2 * count, dataset.items)
        if progress is not None:
            progress(min(start + batch_size, len(users)), len(users))
    return items, scores


def evaluate_retrieval_file(path, dataset, part="test", exclude=("train", "validation"), k=(5, 10, 20, 50), **settings):
    """Measures a file of `export_retrieval` by full ranking: `evaluate_ranking` of the lists that it returns.

    Lists are taken in the order in which the file returns them, equal scores included. The reciprocal rank is not measured:
    it looks at places that are not in the list.

    Args:
        path: the file or folder.
        dataset, part, exclude, k: as for `evaluate_ranking`.
        **settings: `history`, `user_vectors`, `threads`, `batch_size`, `progress` of `rank_with_file`.

    Returns: `RankingEvaluation`, without "mrr".

    Raises: as `rank_with_file` and `evaluate_ranking`.

    >>> evaluate_retrieval_file("retrieval.tflite", dataset, k=50)["recall@50"]
    0.274...
    """
    from tfdistill.evaluation.ranking import evaluate_ranking

    longest = int(np.max(k))
    users = np.flatnonzero(dataset.lists(part).lengths)
    items, _ = rank_with_file(path, dataset, longest, exclude, users=users, **settings)
    place_of_user = np.full(dataset.users, -1)
    place_of_user[users] = np.arange(len(users))

    def score(batch):
        listed = items[place_of_user[batch]]
        # The others stand below, no two alike, since ties cost time. A column more is for the -1 of short lists.
        scores = np.tile(-np.arange(dataset.items + 1, dtype=np.float32), (len(listed), 1))
        np.put_along_axis(scores, listed, np.arange(longest, 0, -1, dtype=np.float32)[None], axis=1)
        return scores[:, :-1]

    evaluation = evaluate_ranking(score, dataset, part, exclude, k)
    kept = {
        name: {metric: value for metric, value in getattr(evaluation, name).items() if metric != "mrr"}
        for name in ("metrics", "per_user")
    }
    return dataclasses.replace(evaluation, **kept)


def retrieval_inputs(path, dataset, users, k, exclude=("train", "validation"), *, history=None, user_vectors=None):
    """What a file of `export_retrieval` takes for users of the data set, to time it with `measure_cost`.

    Args:
        path, dataset, k, exclude, history, user_vectors: as for `rank_with_file`.
        users: int [n].

    Returns: {input: array [n, ...]}.
    """
    users = np.asarray(users)
    inputs = _open(path, dataset, exclude, history, user_vectors).inputs(users, k)
    names = list(inputs)
    inputs["k"] = np.full(len(users), k, np.int32)
    return {name: inputs[name].astype(str) if inputs[name].dtype == object else inputs[name] for name in names}


def _open(path, dataset, exclude, history, user_vectors, threads=1):
    open_file = _SavedModelFile if Path(path).is_dir() else _TFLiteFile
    file = open_file(Path(path), dataset, dataset.lists(*exclude) if exclude else None, user_vectors, threads)
    given = exclude if history is None else history
    file.histories = dataset.lists(*given) if given else None
    return file


def _without_excluded(items, scores, excluded, users):
    """The lists without the users' excluded items, moved up; -1 and minus infinity at their ends."""
    if excluded is None:
        return items, scores
    is_out = np.stack([np.isin(row, excluded.of(user)) for row, user in zip(items, users, strict=True)]) | (items < 0)
    order = np.argsort(is_out, axis=1, kind="stable")
    is_out, items, scores = (np.take_along_axis(array, order, 1) for array in (is_out, items, scores))
    return np.where(is_out, -1, items), np.where(is_out, np.float32(-np.inf), scores)


def _table(lists, users, absent, dtype, length=None):
    """The lists of users as rows, filled up on the left, or the last `length` of each; dtype [n, length]."""
    rows = [[] if lists is None else lists.of(user) for user in users]
    length = max(max(map(len, rows)), 1) if length is None else length
    table = np.full((len(rows), length), absent, dtype)
    for place, row in enumerate(rows):
        if len(row):
            table[place, -min(len(row), length) :] = row[-length:]
    return table


class _File:
    """What both kinds share.

    Attributes:
        k: how many items the file returns; `None` for as many as it is asked for.
        excluded: `ItemLists` of what must not be in the answer, or `None`.
        histories: `ItemLists` of what a file with histories is given.
    """

    k = histories = None

    def __init__(self, path, dataset, excluded, user_vectors):
        self.path, self.dataset, self.excluded, self._user_vectors = path, dataset, excluded, user_vectors

    def _fields(self, names, users):
        """Features of users by field name."""
        missing = [name for name in names if name not in self.dataset.user_features]
        if missing:
            raise UserError(f"{self.path}: takes {', '.join(missing)}, which the data set's users do not have.")
        return {name: self.dataset.user_features[name][users] for name in names}


class _SavedModelFile(_File):
    def __init__(self, path, dataset, excluded, user_vectors, threads):
        super().__init__(path, dataset, excluded, user_vectors)
        import tensorflow as tf

        self._tf = tf
        try:
            self._loaded = tf.saved_model.load(str(path))
            self._serve = self._loaded.signatures["serving_default"]
        except Exception as error:
            raise UserError(f"{path}: no SavedModel of export_retrieval, or a damaged one.") from error
        self._inputs = self._serve.structured_input_signature[1]
        if "k" not in self._inputs or not {"user", "history"} & set(self._inputs):
            raise UserError(f"{path}: no retrieval model: it takes {', '.join(self._inputs)}.")
        self._users, _ = raw_ids(dataset.user_ids, dataset.users, "user")
        self._items, self._absent = raw_ids(dataset.item_ids, dataset.items, "item")
        self._order = np.argsort(self._items, kind="stable")

    def inputs(self, users, count):
        given = {}
        for name, spec in self._inputs.items():
            if name == "k":
                given[name] = np.int32(count)
            elif name == "user":
                given[name] = np.asarray(self._users[users], spec.dtype.as_numpy_dtype)
            elif name == "history":
                numbers = _table(self.histories, users, -1, np.int64)
                ids = np.where(numbers < 0, self._absent, self._items[numbers])
                given[name] = np.asarray(ids, spec.dtype.as_numpy_dtype)
            else:
                given[name] = self._fields([name], users)[name]
        return given

    def best(self, users, count):
        specs = self._inputs
        answer = self._serve(
            **{name: self._tf.constant(values, specs[name].dtype) for name, values in self.inputs(users, count).items()}
        )
        return self._numbers(answer["item"].numpy()), answer["score"].numpy()

    def _numbers(self, ids):
        if ids.dtype == object:
            ids = np.char.decode(ids.astype(bytes), "utf-8").astype(object)
        sorted_ids = self._items[self._order]
        place = np.minimum(np.searchsorted(sorted_ids, ids), len(sorted_ids) - 1)
        is_known = sorted_ids[place] == ids
        if not (is_known | (ids == self._absent)).all():
            stranger = ids[~is_known & (ids != self._absent)][0]
            raise UserError(f"{self.path}: answers with the item {stranger!r}, which is not in the data set.")
        return np.where(is_known, self._order[place], -1).astype(np.int32)


class _TFLiteFile(_File):
    def __init__(self, path, dataset, excluded, user_vectors, threads):
        super().__init__(path, dataset, excluded, user_vectors)
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._run = self._interpreter.get_signature_runner("serving_default")
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path}: no TFLite file of export_retrieval, or a damaged one.") from error
        self._inputs, outputs = self._run.get_input_details(), self._run.get_output_details()
        if set(outputs) != {"item", "score"}:
            raise UserError(f"{path}: no retrieval model: it returns {', '.join(outputs)}.")
        self.k = int(outputs["item"]["shape_signature"][1])
        if "user_vector" in self._inputs and user_vectors is None:
            raise ValueError(f"`user_vectors` are needed: {path} takes the vectors of users. Received: None")

    def inputs(self, users, count):
        given = {}
        for name, detail in self._inputs.items():
            length = int(detail["shape_signature"][-1])
            if name == "user":
                given[name] = users.astype(np.int32)
            elif name == "user_vector":
                given[name] = np.asarray(self._user_vectors, np.float32)[users]
            elif name in ("seen", "history"):
                lists = self.excluded if name == "seen" else self.histories
                given[name] = _table(lists, users, -1, np.int32, length)
            else:
                given[name] = self._fields([name], users)[name].astype(detail["dtype"])
        return given

    def best(self, users, count):
        answer = self._run(**self.inputs(users, count))
        if answer["item"].max() >= self.dataset.items:
            raise UserError(
                f"{self.path}: answers with item {answer['item'].max()}; the data set has {self.dataset.items}."
            )
        return answer["item"], answer["score"]
