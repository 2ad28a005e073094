"""The teacher (trained here, or loaded) and the soft targets that it gives."""

import numpy as np

from tfdistill.recipes.stages.common import MODEL, build_ranker, finish, summarise, train_on_labels
from tfdistill.recipes.stages.data import open_dataset

SOFT_TARGETS = "soft_targets.npz"
ROWS_AT_A_TIME = 1 << 18  # bounds the memory that the inputs of a long labelling take


def work(run, folder, tell):
    """Trains the teacher and writes it, or checks and scores the one that is loaded."""
    dataset = open_dataset(run)
    if run.recipe.teacher.load is None:
        return _train(run.recipe, dataset, folder, tell)
    from tfdistill.export import describe

    teacher = Teacher(run)
    teacher.check(dataset)
    record = summarise([], lambda rows: teacher.rows(dataset, rows), dataset, run.recipe.evaluate.ndcg_k)
    return {
        "loaded": run.recipe.teacher.load,
        "parameters": describe(run.recipe.teacher.load)["parameters"],
        "layers": [],
        **record,
    }


def label_work(run, folder, tell):
    """Has the teacher label every training row and a pool of pairs that nobody rated.

    soft_targets.npz holds rated_logits float32 [training rows, 1] in the order of `dataset.rows("train")` with
    rated_example_id int64 [training rows], and for the pool unrated_user, unrated_item int32 [pool],
    unrated_context_row int64 [pool] and unrated_logits float32 [pool, 1].
    """
    from tfdistill.data import sample_unrated

    dataset, teacher = open_dataset(run), Teacher(run)
    rated = dataset.rows("train")
    pool = round(run.recipe.soft_targets.unrated_ratio * len(rated))
    user, item, context_row = sample_unrated(dataset, pool, run.recipe.seed)

    def progress(before):
        return lambda done: tell(before + done, len(rated) + pool)

    batch_size = run.recipe.soft_targets.batch_size
    rated_logits = teacher.rows(dataset, rated, batch_size, progress(0))
    unrated_logits = teacher.pairs(dataset, user, item, context_row, batch_size, progress(len(rated)))
    np.savez(
        folder / SOFT_TARGETS,
        rated_example_id=dataset.example_id[rated],
        rated_logits=rated_logits,
        unrated_user=user,
        unrated_item=item,
        unrated_context_row=context_row,
        unrated_logits=unrated_logits,
    )
    return {"rated": len(rated), "unrated": pool}


class Teacher:
    """The run's teacher, asked by rows or by pairs of the data set, whatever form of the inputs it reads."""

    def __init__(self, run):
        import tfdistill.models  # noqa: F401  (registers the layers that a teacher of ours names)
        from tfdistill.teachers import load_teacher
        from tfdistill.training import inference

        settings = run.recipe.teacher
        if settings.load is None:
            self.raw, self._ask = False, load_teacher(run.path("teacher", MODEL))
        else:
            self.raw = settings.reads == "raw"
            self._ask = load_teacher(
                settings.load, signature=settings.signature, inputs=settings.inputs, outputs=settings.outputs
            )
        self._infer = inference(self._ask)

    def check(self, dataset):
        """Raises `UserError` where the teacher does not take these inputs or give one finite logit a row."""
        from tfdistill.teachers import check_teacher_outputs

        check_teacher_outputs(self._ask, self._inputs(dataset, dataset.rows("train")[:64]), units=1)

    def rows(self, dataset, rows, batch_size=8192, progress=None):
        """Logits float32 [n, 1] of interactions, by their row numbers."""
        return self._logits(lambda part: self._inputs(dataset, rows[part]), len(rows), batch_size, progress)

    def pairs(self, dataset, user, item, context_row, batch_size=8192, progress=None):
        """Logits float32 [n, 1] of user-item pairs that need not be in the data."""
        inputs = dataset.raw_pair_inputs if self.raw else dataset.pair_inputs
        return self._logits(
            lambda part: inputs(user[part], item[part], context_row[part]), len(user), batch_size, progress
        )

    def _inputs(self, dataset, rows):
        return dataset.raw_inputs(rows) if self.raw else dataset.inputs(rows)

    def _logits(self, inputs, count, batch_size, progress):
        from tfdistill.training import predict_logits

        pieces = [np.zeros((0, 1), np.float32)]
        for start in range(0, count, ROWS_AT_A_TIME):
            part = slice(start, min(start + ROWS_AT_A_TIME, count))
            tell = None if progress is None else lambda done, before=start: progress(before + done)
            pieces.append(predict_logits(self._infer, inputs(part), batch_size, tell))
        return np.concatenate(pieces)


def _train(recipe, dataset, folder, tell):
    settings = recipe.teacher.train
    model = build_ranker(recipe.teacher.model, settings, dataset)
    epochs = train_on_labels(model, dataset, settings, recipe.seed, tell)
    return finish(model, folder, epochs, dataset, recipe.evaluate.ndcg_k)
