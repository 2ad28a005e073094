"""The data stage: read or generate, split, encode."""

from pathlib import Path

FILE = "dataset.npz"


def work(run, folder, tell):
    """Writes the encoded `Dataset`; returns its counts."""
    from tfdistill.data import encode, split

    recipe = run.recipe
    interactions = _read(recipe.data, recipe.seed, tell)
    parts = split(
        interactions,
        method=recipe.data.split.method,
        train=recipe.data.split.train,
        validation=recipe.data.split.validation,
        test=recipe.data.split.test,
        seed=recipe.seed,
    )
    dataset = encode(interactions, parts, unseen=recipe.data.unseen)
    for field, count in dataset.unseen.items():
        if count:
            run.reporter.say(f"  {count:,} rows have a {field} that training does not; they share its unknown row")
    dataset.save(folder / FILE)
    return dataset.summary()


def open_dataset(run):
    """The `Dataset` that the data stage wrote."""
    from tfdistill.data import Dataset

    return Dataset.load(run.path("data", FILE))


def _read(settings, seed, tell):
    if settings.source == "synthetic":
        from tfdistill.data import synthetic

        return synthetic(seed=seed, users=settings.users, items=settings.items, interactions=settings.interactions)
    if settings.source == "movielens_1m":
        from tfdistill.data import movielens_1m

        return movielens_1m(settings.path, progress=lambda done, total: tell(done, total, unit="bytes"))
    from tfdistill.data import FeatureSpec, read_table

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
        features=[
            FeatureSpec(name, spec.of, spec.kind, spec.column, spec.separator, spec.missing)
            for name, spec in settings.features.items()
        ],
    )
