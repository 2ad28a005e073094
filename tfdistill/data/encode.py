"""From raw values to indices, with everything learned from the training rows and nothing from the others."""

import numpy as np

from tfdistill.data.dataset import Dataset
from tfdistill.data.features import encode_bags, encode_categories, encode_numbers, entity_cells
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
                table, numeric[spec.name] = encode_numbers(cells, weight, spec, interactions.source)
                unknown, size = np.zeros(len(cells), bool), 0
            else:
                code = encode_bags if spec.kind == "bag" else encode_categories
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
    if spec.of == "context":
        cells, learn = interactions.context[spec.name].to_numpy(), training
        refuse_missing(cells, spec, interactions.source, lambda place: f"row {interactions.example_id[place] + 1:,}")
        return cells, learn
    return entity_cells(interactions, spec, ids[1:]), np.arange(len(ids) - 1) < size - 1


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
