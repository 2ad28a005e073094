"""The students: alone on the hard labels (the baseline), and distilled."""

import numpy as np

from tfdistill.recipes.stages.common import build_ranker, finish, train_on_labels, validation_auc
from tfdistill.recipes.stages.data import open_dataset
from tfdistill.recipes.stages.teacher import SOFT_TARGETS

UNLABELED = -1.0  # the label of a pair that nobody rated: soft target only
TEACHER_LOGITS = "teacher_logits"


def alone_work(seed):
    """The stage that trains one student on the hard labels alone."""

    def work(run, folder, tell):
        dataset, settings = open_dataset(run), run.recipe.student.train
        student = _build(run.recipe, settings, dataset)
        return _finish(run, folder, seed, dataset, student, train_on_labels(student, dataset, settings, seed, tell))

    return work


def distilled_work(seed):
    """The stage that trains one student with the teacher's soft targets, on rated and unrated pairs."""

    def work(run, folder, tell):
        from tfdistill import Distiller
        from tfdistill.data import pair_expander
        from tfdistill.losses import LogitsDistillation
        from tfdistill.teachers import CachedTeacher
        from tfdistill.training import train

        dataset, settings = open_dataset(run), run.recipe.distill
        student = _build(run.recipe, settings.train, dataset)
        distiller = Distiller(
            teacher=CachedTeacher(TEACHER_LOGITS),
            student=student,
            distillation_losses=LogitsDistillation(temperature=settings.temperature),
            student_loss_weight=settings.student_loss_weight,
            unlabeled_value=UNLABELED,
        )
        transfer = TransferSet(dataset, run.path("soft_targets", SOFT_TARGETS), settings.unrated_ratio)
        epochs = train(
            distiller,
            transfer.epoch,
            settings.train,
            seed=seed,
            rows_per_epoch=transfer.rows_per_epoch,
            score=validation_auc(student, dataset),
            transform=pair_expander(dataset),
            on_progress=tell,
        )
        return _finish(run, folder, seed, dataset, student, epochs)

    return work


class TransferSet:
    """What a distilled student sees in an epoch: every rated pair, and unrated pairs that change from epoch to epoch.

    Args:
        dataset: the data.
        soft_targets: the file that the soft-targets stage wrote.
        unrated_ratio: unrated pairs per rated one.
    """

    def __init__(self, dataset, soft_targets, unrated_ratio):
        with np.load(soft_targets, allow_pickle=False) as arrays:
            self.soft = dict(arrays)
        rows = dataset.rows("train")
        self.unrated_per_epoch = round(unrated_ratio * len(rows))
        self.rows_per_epoch = len(rows) + self.unrated_per_epoch
        self.rated = dataset.pairs(rows)
        self.label = dataset.label[rows][:, None]

    def epoch(self, number):
        """The columns (x, y) of an epoch: the next pairs of the pool, from its beginning again when it is used up.

        x holds the columns of `Dataset.pairs` and teacher_logits float32 [rows, 1].
        """
        if not self.unrated_per_epoch:
            return {**self.rated, TEACHER_LOGITS: self.soft["rated_logits"]}, self.label
        pool = len(self.soft["unrated_user"])
        drawn = (number * self.unrated_per_epoch + np.arange(self.unrated_per_epoch)) % pool
        x = {
            "user_row": np.concatenate([self.rated["user_row"], self.soft["unrated_user"][drawn]]),
            "item_row": np.concatenate([self.rated["item_row"], self.soft["unrated_item"][drawn]]),
            "context_row": np.concatenate(
                [self.rated["context_row"], self.soft["unrated_context_row"][drawn].astype(np.int32)]
            ),
            TEACHER_LOGITS: np.concatenate([self.soft["rated_logits"], self.soft["unrated_logits"][drawn]]),
        }
        y = np.concatenate([self.label, np.full((len(drawn), 1), UNLABELED, self.label.dtype)])
        return x, y


def _build(recipe, settings, dataset):
    return build_ranker(recipe.student.model, settings, dataset, name="student")


def _finish(run, folder, seed, dataset, student, epochs):
    return {"seed": seed, **finish(student, folder, epochs, dataset, run.recipe.evaluate.ndcg_k)}
