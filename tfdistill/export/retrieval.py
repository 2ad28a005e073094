"""A retrieval model as a file that takes a user, or a history, and answers with the best items."""

from pathlib import Path

import numpy as np

from tfdistill import files
from tfdistill.data.implicit import PARTS
from tfdistill.export.retrieval_ids import with_item_ids
from tfdistill.export.retrieval_source import RetrievalSource

RETRIEVAL_FORMATS = (
    "saved_model",
    "tflite_float32",
    "tflite_float16",
    "tflite_dynamic_int8",
    "tflite_weight_only_int8",
    "tflite_int4",
)
USER_INPUTS = ("number", "vector")


def export_retrieval(
    model, dataset, path, format="saved_model", *, k=100, exclude=("train",), seen_length=None, user_input="number"
):
    """Writes a retrieval model as a file that ranks all items of `dataset`: best first, those already seen left out.

        items = top_k(user vector . item vectors), without the seen; equal scores in the order of the item numbers

    The vectors of all items are worked out once and stored. So are those of all users, unless the model takes a history of
    items: then its user tower goes into the file.

    **"saved_model"**: a SavedModel that takes and returns raw ids (`dataset.user_ids` and `item_ids`, int64 or strings; the
    numbers from 0 as int64 where the data set has none). Its signature `serving_default` takes k, an int32 scalar, and

        user: [batch]; the items that users have seen are in the file;
        or history: [batch, any length], oldest first, filled up with -1 (strings: "") anywhere. Ids that the data set does
            not know are skipped, and the history's own items are left out of the answer.

    and returns

        item: [batch, k], -1 (strings: "") where fewer than k items are left;
        score: float32 [batch, k], minus infinity there;
        known: bool [batch], False for a user who is not in the data set and for a history without an item that is. They get
            the items that are most frequent in the training part, with their counts as scores.

    **"tflite_..."**: a TFLite file for the device, without strings and operators that LiteRT does not have itself: `serve_one`
    for one user, all shapes static, and `serving_default` for any number of users. Both take

        user: int32 [batch], a number from 0, or user_vector: float32 [batch, d], see `user_input`;
        seen: int32 [batch, n], item numbers, filled up with -1 anywhere (no such input where `exclude` is empty);
        or history: int32 [batch, n] in place of both, item numbers, oldest first, filled up with -1 on the left. The tower
            reads the last ones; all are left out of the answer;
        and, in both kinds of file, what else the user tower takes beside a history, by field name.

    and return item, int32 [batch, k], -1 where fewer than k items are left, and score, float32 [batch, k]. Raw ids of items
    are a text file at the end of the TFLite file, as labels are in TFLite's metadata: see `stored_item_ids`. In the formats
    of integers every item has a scale of its own: docs/retrieval_export.md has their sizes and what they cost.

    Args:
        model: a retrieval model (see `tfdistill.models.towers`), pruned or not; or its vectors, `(user [users, d], item
            [items, d])` or an object with `user` and `item`.
        dataset: `ImplicitDataset`; all of its items are ranked.
        path: the folder or file to write.
        format: one of `RETRIEVAL_FORMATS`.
        k: how many items a TFLite file returns. A SavedModel is told at every call, and stops with an error where that is
            more than there are.
        exclude: parts of the data set whose items a user has seen; `()` leaves nothing out, a history's items neither.
        seen_length: n, the places for seen items in a TFLite file; `None` for as many as any user has in all parts.
        user_input: "number" or "vector": what a TFLite file takes for a user. With "vector", no user is in the file.

    Returns: the path.

    Raises:
        ValueError: for an unknown format, part or `user_input`; `k` beyond the number of items; vectors that do not fit
            the data set or are not finite; a tower that takes a history and the user's number.
        UserError: for raw ids that occur twice or look like padding, and a user tower that does not convert to TFLite.

    >>> export_retrieval(student, dataset, "retrieval", exclude=("train", "validation"))
    PosixPath('retrieval')
    >>> serve = tf.saved_model.load("retrieval").signatures["serving_default"]
    >>> serve(user=tf.constant([42], tf.int64), k=tf.constant(3))["item"]
    <tf.Tensor: shape=(1, 3), dtype=int64, numpy=array([[318,  50, 174]])>
    """
    _check(dataset, format, k, exclude, seen_length, user_input)
    source = RetrievalSource.of(model, dataset)
    if format == "saved_model":
        from tfdistill.export.retrieval_saved_model import retrieval_module
        from tfdistill.export.saved_model import write_saved_model

        module, signature = retrieval_module(source, dataset, tuple(exclude))
        with files.atomic_folder(path) as temporary:
            write_saved_model(module, {"serving_default": signature}, temporary)
        return Path(path)
    from tfdistill.export.retrieval_tflite import retrieval_file

    if seen_length is None:
        seen_length = int(dataset.lists(*PARTS).lengths.max())
    content = retrieval_file(source, format, int(k), seen_length if exclude else 0, user_input)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(with_item_ids(content, dataset.item_ids))
    return Path(path)


def _check(dataset, format, k, exclude, seen_length, user_input):
    if format not in RETRIEVAL_FORMATS:
        hint = ""
        if format in ("tflite_int8", "tflite_int16"):
            hint = (
                " Scores rounded to 8 bits take 256 values, too few to rank items by: tflite_dynamic_int8 stores the vectors"
                " as int8 too, and adds up in 32 bits."
            )
        raise ValueError(f"`format` must be one of {RETRIEVAL_FORMATS}.{hint} Received: format={format!r}")
    if isinstance(exclude, str) or any(part not in PARTS for part in exclude):
        raise ValueError(f"`exclude` must be a tuple of some of {PARTS}. Received: exclude={exclude!r}")
    for name, number in (("k", k), ("seen_length", seen_length)):
        if name == "seen_length" and number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"`{name}` must be a whole number of at least 1. Received: {name}={number!r}")
    if format != "saved_model" and k > dataset.items:
        raise ValueError(f"`k` must be at most the number of items, {dataset.items}. Received: k={k}")
    if user_input not in USER_INPUTS:
        raise ValueError(f"`user_input` must be one of {USER_INPUTS}. Received: user_input={user_input!r}")
