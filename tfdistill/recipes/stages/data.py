"""The data stage: read or generate, split, encode."""

from pathlib import Path

from tfdistill.recipes.tasks import task_of

FILE = "dataset.npz"


def work(run, folder, tell):
    """Writes the data set, encoded and split; returns its counts."""
    settings = run.recipe.data

    def progress(done, total):
        tell(done, total, unit="bytes")

    make = _images if settings.source == "mnist" else _interactions
    dataset = make(settings, run.recipe.seed, progress)
    for field, count in getattr(dataset, "unseen", {}).items():
        if count:
            run.reporter.say(f"  {count:,} rows have a {field} that training does not; they share its unknown row")
    dataset.save(folder / FILE)
    return dataset.summary()


def open_dataset(run):
    """The data set that the data stage wrote."""
    return task_of(run.recipe.data).open(run.path("data", FILE))


def _images(settings, seed, progress):
    from tfdistill.data import mnist

    share = settings.split.validation
    return mnist(settings.path, progress=progress, validation=share, labelled=settings.labelled, seed=seed)


def _interactions(settings, seed, progress):
    from tfdistill.data import encode, split
    from tfdistill.evaluation import k_folds

    interactions, how = _read(settings, seed, progress), settings.split
    if how.method == "k_fold":
        parts = split(interactions, "given", given=k_folds(interactions, how.folds, seed)[how.fold])
    else:
        parts = split(interactions, **how.model_dump(exclude={"folds", "fold"}), seed=seed)
    return encode(interactions, parts, unseen=settings.unseen)


def _read(settings, seed, progress):
    if settings.source == "synthetic":
        from tfdistill.data import synthetic

        return synthetic(seed=seed, users=settings.users, items=settings.items, interactions=settings.interactions)
    if settings.source == "movielens_1m":
        from tfdistill.data import movielens_1m

        return movielens_1m(settings.path, progress=progress)
    from tfdistill.data import read_table

    columns = settings.columns
    return read_table(
        Path(settings.path),
        user=columns.user,
        item=columns.item,
        label=columns.label,
        rating=columns.rating,
        positive_above=settings.positive_above,
        drop_ratings=settings.drop_ratings,
        time=columns.time,
        features=feature_specs(settings.features),
    )


def feature_specs(features):
    """The `FeatureSpec`s of a recipe's `data.features`."""
    from tfdistill.data import FeatureSpec

    return [
        FeatureSpec(name, spec.of, spec.kind, spec.column, spec.separator, spec.missing)
        for name, spec in features.items()
    ]
