"""The stages in which a teacher, or an assistant in its place, labels every training row and a pool of unlabelled ones."""

import os

import numpy as np

from tfdistill import files
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.teacher import HARD_LABEL, Teacher, fingerprint
from tfdistill.recipes.tasks import task_of

CACHE, POOL = "cache", "pool.npz"
ROWS_A_SHARD = 1 << 18  # the work that a kill can cost


def label_work(link):
    """The stage that writes the soft targets of a link of the chain.

    cache/ is a `tfdistill.soft_targets.SoftTargets` of logits and of the layers that the learner's losses read, by
    example id. pool.npz holds the rows without a label: example_id int64 [pool] and the columns that stand for them. Of
    pairs that nobody rated: ids after the largest of the data, user_row, item_row int32 [pool] and context_row int64
    [pool]; of images: their own ids and image_row int32 [pool].
    """

    def work(run, folder, tell):
        from tfdistill.soft_targets import write_soft_targets
        from tfdistill.soft_targets.joining import join_soft_targets

        dataset, teacher, settings = open_dataset(run), Teacher(run, link.teacher), run.recipe.soft_targets
        task = task_of(dataset)
        identity = fingerprint(run, link.teacher)
        # It grows in a place of its own, where a run that was killed finds it again.
        unfinished = run.unfinished(link.soft_targets, identity)
        rated = dataset.rows("train")
        if run.workers.is_chief:
            _draw_pool(unfinished / POOL, dataset, teacher, settings, run.recipe.seed)
        run.workers.wait()
        pool = _read(unfinished / POOL)
        columns = {name: np.concatenate([column, pool[name]]) for name, column in task.columns(dataset, rated).items()}
        unlabelled = np.full(len(pool["example_id"]), task.unlabeled, dataset.label.dtype)
        label = np.concatenate([dataset.label[rated], unlabelled])

        example_id = np.concatenate([dataset.example_id[rated], pool["example_id"]])
        first, last = (len(example_id) * (run.workers.index + step) // run.workers.count for step in (0, 1))

        def inputs(part):
            part = slice(first + part.start, first + part.stop)
            read = teacher.inputs(dataset, {name: column[part] for name, column in columns.items()})
            return {**read, HARD_LABEL: label[part]} if teacher.reads_labels else read

        shares = [unfinished / CACHE]
        if (count := run.workers.count) > 1:  # of another number of workers a try before had other shares
            shares = [unfinished / f"{CACHE}-{index}-of-{count}" for index in range(count)]
        write_soft_targets(
            shares[run.workers.index],
            teacher.ask,
            inputs,
            example_id[first:last],
            fingerprint=identity,
            dtype=settings.dtype,
            features=link.distill.teacher_layers,
            batch_size=settings.batch_size,
            shard_rows=ROWS_A_SHARD,
            on_progress=tell,
        )
        run.workers.wait()
        if run.workers.is_chief:
            join_soft_targets(folder / CACHE, shares)
            os.replace(unfinished / POOL, folder / POOL)
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


def _draw_pool(path, dataset, teacher, settings, seed):
    """Draws the rows without a label, once, since a teacher that chooses may not choose alike on another machine."""
    if not path.exists():
        pool = task_of(dataset).draw_pool(dataset, settings, seed, lambda columns: teacher.logits(dataset, columns))
        with files.atomic_path(path) as temporary:
            np.savez(temporary, **pool)


def _read(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
