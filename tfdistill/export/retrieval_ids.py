"""Raw ids in retrieval files: how they are checked, stored and read back. Needs neither TensorFlow nor Keras."""

import io
import zipfile

import numpy as np

from tfdistill.errors import UserError

ITEM_IDS = "items.txt"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that equal models make equal files


def raw_ids(ids, count, what):
    """Raw ids as a file stores them, and the value that stands for no id.

    Args:
        ids: [count], whole numbers or strings; `None` where the numbers from 0 are the ids.
        count: how many there are.
        what: "user" or "item", for messages.

    Returns: `(ids, absent)`: int64 [count] and -1, or an array of `str` and "".

    Raises:
        UserError: an id occurs twice, or is the one that stands for none.
    """
    ids = np.arange(count) if ids is None else np.asarray(ids)
    if ids.dtype.kind in "iu":
        ids, absent = ids.astype(np.int64), -1
    else:
        ids, absent = np.array([str(one) for one in ids], dtype=object), ""
    if len(ids) != count:
        raise UserError(f"{what} ids: expected {count}, one for each {what}, received {len(ids)}.")
    if (ids == absent).any():
        raise UserError(
            f"{what} ids: {absent!r} stands for no {what} in an exported file and cannot be an id. Rename it."
        )
    distinct, counts = np.unique(ids, return_counts=True)
    if len(distinct) < count:
        raise UserError(
            f"{what} ids: {distinct[counts > 1].tolist()[0]!r} occurs more than once. Give every {what} an id of its own."
        )
    return ids, absent


def with_item_ids(content, ids):
    """The bytes of a TFLite file with a zip archive behind them that holds one raw item id a line, in order of numbers.

    Nothing is added where `ids` is `None`. Readers of TFLite stop at the end of what they know, readers of zip begin there.
    """
    if ids is None:
        return content
    ids = [str(one) for one in raw_ids(ids, len(ids), "item")[0]]
    if any(len(one.splitlines()) != 1 for one in ids):
        raise UserError("item ids: one has a line break in it, and an exported file has one id a line. Rename it.")
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(ITEM_IDS, _FIRST_DAY)
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, "\n".join(ids) + "\n")
    return file.getvalue()


def stored_item_ids(path):
    """The raw item ids in a TFLite file of `export_retrieval`, as `str`, by item number; `None` where it has none.

    >>> stored_item_ids("retrieval.tflite")[317]
    '318'
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(ITEM_IDS).decode().splitlines()
    except (zipfile.BadZipFile, KeyError):
        return None
