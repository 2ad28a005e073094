"""A distillation tried on a few rows before anything is trained, so that a wrong layer does not cost hours."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from tfdistill.errors import UserError
from tfdistill.recipes.stages import retrieval
from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.common import build_model
from tfdistill.recipes.stages.compress import apply_step
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.students import build_distiller, build_learner
from tfdistill.recipes.stages.teacher import Teacher, combined
from tfdistill.recipes.stages.transfer import cached_teacher
from tfdistill.recipes.tasks import task_of

LOGITS = "logits"
ROWS = 8


def rehearse(run):
    """Computes every loss of every link of the chain once, with models that are not trained yet, and tries every step of
    the compression.

    Raises:
        UserError: for a pool that the data is too small for, layers that do not exist, losses that cannot compare teacher
            and student, schedules whose durations come to the same step, and what cannot be compressed.
    """
    if run.recipe.data.task == retrieval.TASK:
        retrieval.rehearse(run)
        return
    dataset = open_dataset(run)
    task, rows = task_of(dataset), dataset.rows("train")[:ROWS]
    task.check_pool(dataset, run.recipe.soft_targets.unrated_ratio)
    inputs, label = dataset.inputs(rows), task.labels(dataset, rows)
    previous = None
    for link in chain(run.recipe):
        learner, steps_per_epoch = build_learner(link, dataset), _steps_per_epoch(link.distill, dataset)
        ask = functools.cache(lambda layer, previous=previous: _answers(run, previous, layer, dataset, rows))
        for position, loss in enumerate(link.distill.losses):
            try:
                answers = ask(loss.teacher_layer)
                teacher = cached_teacher([layer for layer in answers if layer != LOGITS])
                columns = dict(zip(teacher.columns, answers.values(), strict=True))
                distiller = build_distiller(learner, teacher, link.distill, [loss], steps_per_epoch, task.unlabeled)
                distiller.compile(loss=task.hard_loss())
                distiller.compute_loss({**inputs, **columns}, label)
            except ValueError as error:
                raise UserError(f"{link.key}.losses[{position}]: {' '.join(str(error).split())}") from error
        previous = link
    for position, step in enumerate(run.recipe.compress):
        try:
            learner = apply_step(step, learner, steps_per_epoch * step.train.epochs)
        except ValueError as error:
            raise UserError(f"compress[{position}]: {' '.join(str(error).split())}") from error


def _answers(run, previous, layer, dataset, rows):
    """{"logits": [n, k], layer: ...}: what the teacher of a link would be stored to have said, had it been trained."""
    if layer is None:
        return {LOGITS: np.zeros((len(rows), task_of(dataset).outputs(dataset)), np.float32)}
    from tfdistill.soft_targets import write_soft_targets

    settings, inputs = run.recipe.teacher, dataset.inputs(rows)
    if previous is not None:
        teacher = build_learner(previous, dataset)
    elif settings.load is None:
        shape = settings.model, settings.train, dataset, settings.precision
        members = [build_model(*shape) for _ in range(settings.count)]
        teacher = combined(settings, members, task_of(dataset))
    else:
        loaded = Teacher(run)
        teacher, inputs = loaded.ask, loaded.inputs(dataset, task_of(dataset).columns(dataset, rows))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        answers = write_soft_targets(
            Path(folder) / "rehearsal", teacher, inputs, np.arange(len(rows)), fingerprint="rehearsal", features=[layer]
        )
        return answers.lookup(np.arange(len(rows)))


def _steps_per_epoch(distill, dataset):
    rows = len(dataset.rows("train"))
    return max((rows + round(distill.unrated_ratio * rows)) // distill.train.batch_size, 1)
