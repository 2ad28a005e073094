"""From raw values to indices, with everything learned from the training rows and nothing from the others."""

import itertools

import numpy as np

from tfdistill.data.dataset import Dataset
from tfdistill.data.fields import Field, check_choice
from tfdistill.data.interactions import refuse_missing
from tfdistill.data.values import counted, look_up, plain, tidy, vocabulary_of, with_unknown
from tfdistill.errors import UserError


def encode(interactions, split, unseen="unknown"):
    """Encodes interactions for models.

    Vocabularies and the mean and deviation of numbers come from the training rows only (features of users and items:
    from the users and items of the training rows). Vocabularies are sorted, so the same data gives the same indices.

    Args:
        interactions: `Interactions`.
        split: int8 [n], 0 train, 1 validation, 2 test, as `split` returns it.
        unseen: what happens to a value that only validation or test rows hold: "unknown" gives it index 0 (a bag drops
            it), "error" refuses the data.

    Returns:
        A `Dataset`.

    Raises:
        UserError: with `unseen="error"` on such a value; on a missing cell that the feature does not allow; on an id
            without a row in the feature frame.

    >>> dataset = encode(interactions, split(interactions, seed=1))
    >>> [field.name for field in dataset.fields][:2]
    ['user', 'item']
    """
    check_choice("unseen", unseen, ("unknown", "error"))
    split = np.asarray(split, np.int8)
    if len(split) != len(interactions):
        raise ValueError(f"Received a `split` of {len(split)} rows for {len(interactions)} interactions.")
    training = split == 0
    if not training.any():
        raise ValueError("Received a `split` without training rows (0).")
    user_row, user_ids, user_size = _entities(interactions.user, training, interactions.user_name, interactions.source)
    item_row, item_ids, item_size = _entities(interactions.item, training, interactions.item_name, interactions.source)
    rows = {"user": user_row, "item": item_row, "context": np.arange(len(split))}
    sizes = {"user": user_size, "item": item_size}
    ids = {"user": user_ids, "item": item_ids}

    fields = [
        Field(interactions.user_name, "categorical", "user", user_size),
        Field(interactions.item_name, "categorical", "item", item_size),
    ]
    vocabularies = {interactions.user_name: user_ids[1:user_size], interactions.item_name: item_ids[1:item_size]}
    strangers = {interactions.user_name: user_row >= user_size, interactions.item_name: item_row >= item_size}
    tables = {"user": {}, "item": {}, "context": {}}
    numeric = {}
    for of in tables:
        for spec in (spec for spec in interactions.features if spec.of == of):
            cells, learn = _cells(interactions, spec, ids.get(of), sizes.get(of), training)
            if spec.kind == "numeric":
                weight = np.bincount(rows[of][training] - (of != "context"), minlength=len(cells))
                table, numeric[spec.name] = _numeric(cells, weight, spec, interactions.source)
                unknown, size = np.zeros(len(cells), bool), 0
            else:
                code = _bag if spec.kind == "bag" else _categorical
                table, vocabularies[spec.name], unknown = code(cells, learn, spec.name)
                size = len(vocabularies[spec.name]) + 1
            if of != "context":
                table = np.concatenate([np.zeros_like(table[:1]), table])
                unknown = np.concatenate([[False], unknown])
            tables[of][spec.name] = table
            strangers[spec.name] = unknown[rows[of]]
            fields.append(Field(spec.name, spec.kind, of, size, table.shape[1] if spec.kind == "bag" else 1))

    if unseen == "error":
        _refuse_unseen(strangers, interactions, rows, ids, len(split))
    return Dataset(
        fields=tuple(fields),
        user_row=user_row,
        item_row=item_row,
        label=interactions.label,
        split=split,
        user_features=tables["user"],
        item_features=tables["item"],
        context=tables["context"],
        vocabularies=vocabularies,
        user_ids=user_ids,
        item_ids=item_ids,
        numeric=numeric,
        example_id=np.asarray(interactions.example_id, np.int64),
        unseen={name: int(unknown.sum()) for name, unknown in strangers.items()},
        source=interactions.source,
    )


def _entities(ids, training, name, source):
    """(table row of each id, raw ids of the table with row 0, vocabulary size): ids of training rows come first."""
    values, missing = tidy(ids, name)
    if missing.any():
        raise UserError(
            f"{source}: {counted(int(missing.sum()), 'id is', 'ids are')} missing in the column '{name}'; drop those rows."
        )
    known = vocabulary_of(values[training])
    index = look_up(values, known)
    strange = index == 0
    others = vocabulary_of(values[strange])
    row = index.copy()
    row[strange] = len(known) + look_up(values[strange], others)
    return row, np.concatenate([with_unknown(known), others]), len(known) + 1


def _cells(interactions, spec, ids, size, training):
    """(the feature's cells, one per user, item or interaction; bool, True where a vocabulary may learn from the cell)."""
    frame = interactions.frame(spec.of)
    if spec.of == "context":
        cells, learn = frame[spec.name].to_numpy(), training
        refuse_missing(cells, spec, interactions.source, lambda place: f"row {interactions.example_id[place] + 1:,}")
        return cells, learn
    ids = ids[1:]
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
    return cells, np.arange(len(ids)) < size - 1


def _categorical(cells, learn, name):
    """(int32 index per cell, vocabulary, bool: the value is unknown)."""
    values, missing = tidy(cells, name)
    vocabulary = vocabulary_of(values[learn & ~missing])
    index = look_up(values, vocabulary)
    index[missing] = 0
    return index, vocabulary, (index == 0) & ~missing


def _bag(cells, learn, name):
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


def _numeric(cells, weight, spec, source):
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


def _refuse_unseen(strangers, interactions, rows, ids, count):
    for name, unknown in strangers.items():
        if not unknown.any():
            continue
        first = int(unknown.argmax())
        if name in (interactions.user_name, interactions.item_name):
            of = "user" if name == interactions.user_name else "item"
            example = ids[of][rows[of][first]]
        else:
            spec = next(spec for spec in interactions.features if spec.name == name)
            of = spec.of
            where = rows[of][first]
            frame = interactions.frame(of)[name]
            example = frame.iloc[where] if of == "context" else frame.loc[ids[of][where].item()]
        raise UserError(
            f"{interactions.source}: {int(unknown.sum()):,} of {count:,} rows hold (in validation or test) a value of "
            f"'{name}' that no training row has, e.g. {plain(example)!r}. Set `data.unseen: unknown` to read such values "
            f"as index 0, or choose a split that keeps them in training."
        )
