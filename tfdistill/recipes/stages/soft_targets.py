"""The stages in which a teacher, or an assistant in its place, labels every training row and a pool of unrated pairs."""

import os

import numpy as np

from tfdistill import files
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.teacher import HARD_LABEL, NO_LABEL, Teacher, fingerprint

CACHE, POOL = "cache", "pool.npz"
ROWS_A_SHARD = 1 << 18  # the work that a kill can cost


def label_work(link):
    """The stage that writes the soft targets of a link of the chain.

    cache/ is a `tfdistill.soft_targets.SoftTargets` of logits and of the layers that the learner's losses read, by
    example id. pool.npz holds the unrated pairs: example_id int64 [pool], which begin after the largest id of the data,
    user_row, item_row int32 [pool] and context_row int64 [pool].
    """

    def work(run, folder, tell):
        from tfdistill.soft_targets import write_soft_targets

        dataset, teacher, settings = open_dataset(run), Teacher(run, link.teacher), run.recipe.soft_targets
        identity = fingerprint(run, link.teacher)
        # It grows in a place of its own, where a run that was killed finds it again.
        unfinished = run.unfinished(link.soft_targets, identity)
        rated = dataset.rows("train")
        pool = _pool(unfinished / POOL, dataset, teacher, settings, run.recipe.seed)
        columns = {name: np.concatenate([column, pool[name]]) for name, column in dataset.pairs(rated).items()}
        label = np.concatenate([dataset.label[rated], np.full(len(pool["example_id"]), NO_LABEL, np.float32)])

        def inputs(part):
            read = teacher.inputs(dataset, **{name: column[part] for name, column in columns.items()})
            return {**read, HARD_LABEL: label[part]} if teacher.reads_labels else read

        write_soft_targets(
            unfinished / CACHE,
            teacher.ask,
            inputs,
            np.concatenate([dataset.example_id[rated], pool["example_id"]]),
            fingerprint=identity,
            dtype=settings.dtype,
            features=link.distill.teacher_layers,
            batch_size=settings.batch_size,
            shard_rows=ROWS_A_SHARD,
            on_progress=tell,
        )
        for name in (CACHE, POOL):
            os.replace(unfinished / name, folder / name)
        files.remove(unfinished)
        return {"rated": len(rated), "unrated": len(pool["example_id"])}

    return work


def open_soft_targets(run, link):
    """Returns (`SoftTargets`, the pool's arrays) of a link, every file compared with its checksum.

    Raises:
        UserError: for soft targets that are damaged, or not those of the link's teacher.
    """
    from tfdistill.soft_targets import SoftTargets

    identity = fingerprint(run, link.teacher)
    soft_targets = SoftTargets.open(run.path(link.soft_targets, CACHE), fingerprint=identity)
    return soft_targets, _read(run.path(link.soft_targets, POOL))


def _pool(path, dataset, teacher, settings, seed):
    """The unrated pairs; drawn once, since a teacher that chooses among them may not choose alike on another machine."""
    from tfdistill.data import sample_unrated

    if path.exists():
        return _read(path)
    count = round(settings.unrated_ratio * len(dataset.rows("train")))
    choice = {}
    if settings.draw == "teacher":
        choice = {"candidates": settings.candidates, "score": lambda *pairs: teacher.pairs(dataset, *pairs)}
    user, item, context_row = sample_unrated(dataset, count, seed, settings.draw, **choice)
    first = dataset.example_id.max() + 1
    with files.atomic_path(path) as temporary:
        np.savez(
            temporary,
            example_id=np.arange(first, first + count, dtype=np.int64),
            user_row=user,
            item_row=item,
            context_row=context_row,
        )
    return _read(path)


def _read(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
