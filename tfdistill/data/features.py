"""Feature columns as arrays: vocabularies, bags, standardised numbers."""

import itertools

import numpy as np

from tfdistill.data.interactions import refuse_missing
from tfdistill.data.values import counted, look_up, plain, tidy, vocabulary_of
from tfdistill.errors import UserError


def entity_cells(interactions, spec, ids):
    """A feature's cells of the users or items with these raw ids, one each."""
    frame = interactions.frame(spec.of)
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()]
        raise UserError(
            f"{interactions.source}: {counted(len(twice), 'id has', 'ids have')} two rows in the {spec.of} features, "
            f"e.g. {plain(twice[0])!r}. Keep one."
        )
    place = frame.index.get_indexer(ids.astype(object) if ids.dtype.kind == "U" else ids)
    if (place < 0).any():
        lost = ids[place < 0]
        raise UserError(
            f"{interactions.source}: {counted(len(lost), 'id has', 'ids have')} no row in the {spec.of} features, "
            f"e.g. {plain(lost[0])!r}. Add them or drop their interactions."
        )
    cells = frame[spec.name].to_numpy()[place]
    refuse_missing(cells, spec, interactions.source, lambda place: f"{spec.of} {plain(ids[place])!r}")
    return cells


def encode_categories(cells, learn, name):
    """(int32 index per cell, vocabulary, bool: the value is unknown)."""
    values, missing = tidy(cells, name)
    vocabulary = vocabulary_of(values[learn & ~missing])
    index = look_up(values, vocabulary)
    index[missing] = 0
    return index, vocabulary, (index == 0) & ~missing


def encode_bags(cells, learn, name):
    """(int32 indices [n, longest], vocabulary, bool: the cell holds an unknown value); repeated values count once."""
    import pandas

    cells = np.asarray(cells, object)
    # Cells often share their list (read_table sees to it): work on the different ones.
    codes, _ = pandas.factorize(np.fromiter(map(id, cells), np.int64, len(cells)))
    _, first = np.unique(codes, return_index=True)
    learn = np.bincount(codes[learn], minlength=len(first)) > 0
    lists = [cell if isinstance(cell, (list, tuple, np.ndarray)) else () for cell in cells[first]]
    text = [cell for cell in cells[first] if isinstance(cell, str)]
    if text:
        raise UserError(f"'{name}' is a bag, so its cells must be lists. Received the text {text[0]!r}.")
    owner = np.repeat(np.arange(len(lists)), [len(cell) for cell in lists])
    flat = np.empty(len(owner), object)
    flat[:] = list(itertools.chain.from_iterable(lists))
    values, missing = tidy(flat, name)
    vocabulary = vocabulary_of(values[learn[owner] & ~missing])
    index = look_up(values, vocabulary)
    index[missing] = 0
    unknown = np.bincount(owner[(index == 0) & ~missing], minlength=len(lists)) > 0
    kept = pandas.DataFrame({"owner": owner, "index": index})[index > 0].drop_duplicates()
    owner, index = kept["owner"].to_numpy(), kept["index"].to_numpy()
    length = np.bincount(owner, minlength=len(lists))
    place = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
    table = np.zeros((len(lists), max(1, length.max(initial=0))), np.int32)
    table[owner, place] = index
    return table[codes], vocabulary, unknown[codes]


def encode_numbers(cells, weight, spec, source):
    """(float32 standardised, (mean, deviation)); `weight` says how many training rows hold each cell, a gap becomes 0."""
    values = np.asarray(cells, np.float64)
    missing = np.isnan(values)
    if np.isinf(values).any():
        raise UserError(f"{source}: column '{spec.source_column}' holds an infinite number; replace or drop it.")
    weight = np.where(missing, 0, weight)
    if not weight.any():
        raise UserError(f"{source}: column '{spec.source_column}' has no number in any training row; drop the feature.")
    values = np.where(missing, 0.0, values)
    mean = np.average(values, weights=weight)
    deviation = np.sqrt(np.average((values - mean) ** 2, weights=weight))
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        deviation = 1.0  # a constant carries nothing: standardise it to 0
    standard = np.where(missing, 0.0, (values - mean) / deviation)
    return standard.astype(np.float32), (float(mean), float(deviation))
