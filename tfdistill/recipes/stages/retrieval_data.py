"""The data stage of a retrieval recipe: read, leave out, number, split."""

from tfdistill.errors import UserError
from tfdistill.recipes.stages.data import feature_specs

DOWNLOADED = ("synthetic", "movielens_1m")
PARTS = ("train", "validation", "test")


def read(settings, seed, progress=None):
    """Reads the `ImplicitDataset` of a recipe's `data` section.

    Args:
        settings: the section.
        seed: fixes a random split, and what is synthetic.
        progress: function of (bytes so far, bytes in all or None), called while it downloads.
    """
    from tfdistill.data import from_split, implicit
    from tfdistill.evaluation import k_folds

    if settings.source not in DOWNLOADED and settings.path is None:
        raise UserError("data.path: this recipe does not say where the data is. Pass --set data.path=PATH.")
    if settings.source == "split":
        return from_split(settings.path)
    interactions, split = _interactions(settings, seed, progress), settings.split
    method, how = split.method, {"by": split.by, "seed": seed}
    if method == "k_fold":
        method, how = "given", {"given": k_folds(interactions, split.folds, seed)[split.fold]}
    elif method != "leave_one_out":
        how |= {part: getattr(split, part) for part in PARTS}
    return implicit(
        interactions,
        method,
        **how,
        min_user_count=settings.min_user_count,
        min_item_count=settings.min_item_count,
        unseen=settings.unseen,
    )


def _interactions(settings, seed, progress):
    from tfdistill import data

    if settings.source == "synthetic":
        return data.synthetic(seed=seed, users=settings.users, items=settings.items, interactions=settings.interactions)
    if settings.source == "sequences":
        return data.read_sequences(settings.path)
    if settings.source == "edges":
        return data.read_edges(settings.path, separator=settings.separator)
    if settings.source == "table":
        return data.read_table(
            settings.path,
            **settings.columns.model_dump(),
            positive_above=settings.positive_above,
            features=feature_specs(settings.features),
            feedback="implicit",
        )
    labels = "all" if settings.min_rating is None else settings.min_rating
    if settings.source == "movielens_1m":
        return data.movielens_1m(settings.path, progress=progress, labels=labels)
    return getattr(data, settings.source)(settings.path, labels=labels)
