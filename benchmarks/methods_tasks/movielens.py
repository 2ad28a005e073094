"""MovieLens-1M as click-through data: the teacher and the student of the recipe, rated pairs and pairs that nobody rated."""

import json

import keras
import numpy as np
import tensorflow as tf

from methods_tasks.fitting import UNLABELED
from methods_tasks.movielens_methods import METHODS
from tfdistill import Distiller
from tfdistill.data import Dataset, pair_expander, sample_unrated
from tfdistill.evaluation import auc, log_loss
from tfdistill.models import build
from tfdistill.recipes.loading import load_recipe
from tfdistill.training import train

__all__ = ["METHODS", "open_task"]

RECIPE = "recipes/movielens_1m_ranking.yaml"
POOL_SEED = 1
ROWS_AT_A_TIME = 8192


class MovieLens:
    """The data and the teacher of a run, what the teacher says of its pairs, and how a student is trained and judged.

    Args:
        folder: a run folder of the recipe.
        work: folder for what the teacher says; made where it is missing.
    """

    metric = "auc"

    def __init__(self, folder, work):
        self.recipe = load_recipe(RECIPE)
        self.dataset = Dataset.load(folder / "data" / "dataset.npz")
        self.expand = pair_expander(self.dataset)
        rows = self.dataset.rows("train")
        self.rated, labels = len(rows), self.dataset.label[rows][:, None]
        drawn = sample_unrated(self.dataset, self.rated, POOL_SEED)
        pairs = {
            name: np.concatenate([rated, more.astype(rated.dtype)])
            for (name, rated), more in zip(self.dataset.pairs(rows).items(), drawn, strict=True)
        }
        labels = np.concatenate([labels, np.full_like(labels, UNLABELED)])
        logits, hidden = self._answers(folder, work, pairs)
        columns = pairs | {"teacher_logits": logits, "teacher_hidden_2": hidden}
        self.columns = {name: tf.constant(column) for name, column in columns.items()}, tf.constant(labels)
        student = self._student(self.recipe.student.train)
        teacher = json.loads((folder / "teacher" / "result.json").read_text())
        self.references = {"teacher": {name: teacher["test"][name] for name in ("auc", "log_loss")}}
        settings = self.recipe.distill.train
        self.setting = {
            "title": "MovieLens-1M, the recipe movielens_1m_ranking",
            "notes": [
                f"Teacher and student ({student.count_params():,} parameters) of the recipe, {settings.epochs} epochs, batch",
                f"{settings.batch_size:,}, learning rate {settings.learning_rate:g} and embedding_l2 {settings.embedding_l2:g}",
                f"(alone: embedding_l2 {self.recipe.student.train.embedding_l2:g}), which tune_students.py found; the best",
                "epoch by validation AUC. Tuned here is one more setting, with three values. Unrated pairs: as many as",
                "rated ones, drawn once. Feature losses read the last hidden layer of either model, beside KD.",
            ],
        }

    def train(self, method, settings, seed, part):
        x, y = self.columns
        count = self.rated if method.training(settings, 1).rows == "rated" else 2 * self.rated
        trained = self.recipe.student.train if "learning_rate" in settings else self.recipe.distill.train
        trained = trained.model_copy(update={name: settings[name] for name in settings if name == "learning_rate"})
        training = method.training(settings, count // trained.batch_size)
        student = model = self._student(trained)
        if training.losses is not None:
            model = Distiller(
                training.teacher,
                student,
                training.losses,
                distillation_loss_weights=training.weights,
                student_loss_weight=training.share,
                unlabeled_value=UNLABELED,
            )
        names = ("user_row", "item_row", "context_row", *training.columns)
        columns = {name: x[name][:count] for name in names}, y[:count]
        train(
            model,
            lambda epoch: columns,
            trained,
            seed=seed,
            rows_per_epoch=count,
            score=lambda: self._metrics(student, "validation")["auc"],
            transform=self.expand,
        )
        return self._metrics(student, part)

    def _student(self, settings):
        return build(
            **self.recipe.student.model.model_dump(),
            fields=self.dataset.fields,
            dropout=settings.dropout,
            embedding_l2=settings.embedding_l2,
            name="student",
        )

    def _metrics(self, student, part):
        rows = self.dataset.rows(part)
        logits = student.predict(self.dataset.inputs(rows), batch_size=ROWS_AT_A_TIME, verbose=0)[:, 0]
        probability = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
        return {
            "auc": auc(self.dataset.label[rows], probability),
            "log_loss": log_loss(self.dataset.label[rows], probability),
        }

    def _answers(self, folder, work, pairs):
        """Logits float32 [n, 1] and the last hidden layer float16 [n, width] of the teacher."""
        file = work / f"movielens_{folder.name}_answers.npz"
        if not file.exists():
            teacher = keras.saving.load_model(folder / "teacher" / "model.keras", compile=False)
            asked = keras.Model(teacher.input, [teacher.output, teacher.get_layer("hidden_2").output])
            batches = tf.data.Dataset.from_tensor_slices(pairs).batch(ROWS_AT_A_TIME).map(self.expand)
            logits, hidden = asked.predict(batches, verbose=0)
            work.mkdir(parents=True, exist_ok=True)
            np.savez(file, logits=logits, hidden=hidden.astype(np.float16))
        with np.load(file) as arrays:
            return arrays["logits"], arrays["hidden"]


def open_task(arguments):
    if arguments.run is None:
        raise SystemExit("movielens needs --run: a finished run folder of the recipe movielens_1m_ranking.")
    return MovieLens(arguments.run, arguments.work)
