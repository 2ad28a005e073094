"""The students, alone on the hard labels (the baseline) and distilled, and the assistants, which are distilled too."""

from tfdistill.recipes.stages.chain import chain
from tfdistill.recipes.stages.common import build_model, finish, train_on_labels, validation_quality
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.losses import build_loss, number
from tfdistill.recipes.stages.soft_targets import open_soft_targets
from tfdistill.recipes.stages.transfer import TransferSet
from tfdistill.recipes.tasks import task_of


def alone_work(seed):
    """The stage that trains one student on the hard labels alone."""

    def work(run, folder, tell):
        dataset, settings = open_dataset(run), run.recipe.student.train
        of = run.recipe.student
        student = build_model(of.model, settings, dataset, of.precision, name="student")
        epochs = train_on_labels(student, dataset, settings, seed, tell, state=run.training_state())
        return {"seed": seed, **finish(student, folder, epochs, dataset, run.recipe.evaluate.ndcg_k)}

    return work


def distilled_work(seed):
    """The stage that trains one student with the soft targets of the teacher, or of the last assistant."""

    def work(run, folder, tell):
        return _distill(run, chain(run.recipe)[-1], seed, folder, tell)

    return work


def assistant_work(link):
    """The stage that trains an assistant with the soft targets of the one before it."""

    def work(run, folder, tell):
        return _distill(run, link, run.recipe.seed, folder, tell)

    return work


def build_learner(link, dataset):
    """Builds the model that learns in a link of the chain."""
    name = "student" if link.learner is None else "assistant"
    return build_model(link.model, link.distill.train, dataset, link.precision, name=name)


def build_distiller(learner, teacher, distill, losses, steps_per_epoch, unlabeled):
    """Returns the `Distiller` of a recipe's `distill` section.

    Args:
        learner: the model to train.
        teacher: what gives the soft targets.
        distill: the section.
        losses: those of its losses to train with.
        steps_per_epoch: batches of an epoch, in which the durations of schedules are counted.
        unlabeled: the label of a row that has none.

    Raises:
        ValueError: for layers that do not exist, and for losses that cannot compare teacher and learner.
    """
    from tfdistill import Distiller

    return Distiller(
        teacher=teacher,
        student=learner,
        distillation_losses=[build_loss(loss, steps_per_epoch) for loss in losses],
        distillation_loss_weights=[number(loss.weight, steps_per_epoch) for loss in losses],
        student_loss_weight=number(distill.student_loss_weight, steps_per_epoch),
        unlabeled_value=unlabeled,
        teacher_interval=distill.teacher_interval,
    )


def train_with_teacher(run, link, learner, dataset, seed, tell, first_kept=0):
    """Trains a learner on the soft targets of a link; returns the records of the epochs, see `tfdistill.training.train`.

    Args:
        run: the run.
        link: who teaches, and how.
        learner: the model to train.
        dataset: the data.
        seed: fixes the order of the rows.
        tell: is told of the progress.
        first_kept: the first epoch, from 0, whose weights may be kept.
    """
    from tfdistill.training import train

    settings, task = link.distill, task_of(dataset)
    transfer = TransferSet(dataset, *open_soft_targets(run, link), settings.unrated_ratio)
    steps_per_epoch = transfer.rows_per_epoch // settings.train.batch_size
    return train(
        build_distiller(learner, transfer.teacher, settings, settings.losses, steps_per_epoch, task.unlabeled),
        transfer.epoch,
        settings.train,
        seed=seed,
        rows_per_epoch=transfer.rows_per_epoch,
        score=validation_quality(learner, dataset),
        metric=task.metric,
        loss=task.hard_loss(),
        transform=transfer.transform(),
        on_progress=tell,
        first_kept=first_kept,
        state=run.training_state(),
    )


def _distill(run, link, seed, folder, tell):
    """Trains the learner of a link and writes it; returns its record."""
    dataset = open_dataset(run)
    learner = build_learner(link, dataset)
    epochs = train_with_teacher(run, link, learner, dataset, seed, tell)
    return {"seed": seed, **finish(learner, folder, epochs, dataset, run.recipe.evaluate.ndcg_k)}
