"""What pairs that nobody rated, labelled by the teacher, do for a distilled student: ratio, draw, fresh or fixed.

The data and the teacher come from a finished run of a recipe, the student's shape and training from the recipe; only what is
listed in SETTINGS differs. Pairs are labelled from a table of the teacher's logits of all pairs, made once. Every result is
written as soon as it is there, and is not made again.

    python benchmarks/transfer_sets.py recipes/movielens_1m_ranking.yaml saved_models/movielens_1m_ranking/RUN
    python benchmarks/transfer_sets.py recipes/... saved_models/... --only uniform-2 popularity-2 --seeds 4 5
    python benchmarks/transfer_sets.py recipes/... saved_models/... --table
"""

import argparse
import dataclasses
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from tfdistill._tensorflow import import_quietly

UNLABELED = -1.0
TEMPERATURE = 1.0
TEACHER_LOGITS = "teacher_logits"
LIST_LENGTH = 20
USERS_AT_A_TIME = 8


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a student is trained; `ratio` is unrated pairs per rated one, None for the student alone."""

    ratio: float | None
    draw: str = "uniform"
    fresh: bool = True  # new pairs every epoch, or those of the first epoch again and again
    times_epochs: int = 1  # of the recipe's

    @property
    def name(self):
        if self.ratio is None:
            return "alone"
        parts = [self.draw if self.ratio else "rated", f"{self.ratio:g}"]
        parts += [] if self.fresh else ["fixed"]
        parts += [] if self.times_epochs == 1 else [f"{self.times_epochs}x_epochs"]
        return "-".join(parts)

    @property
    def rows_seen(self):
        """Rows per epoch of the recipe's, counted in the rows of the training part."""
        return (1 + (self.ratio or 0)) * self.times_epochs


SETTINGS = [
    Setting(None),
    Setting(0),
    Setting(0, times_epochs=3),
    *(Setting(ratio) for ratio in (0.5, 1, 2, 4, 8)),
    *(Setting(2, draw) for draw in ("popularity", "uniform_users", "teacher")),
    Setting(2, fresh=False),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="the recipe file")
    parser.add_argument("run", type=Path, help="a finished run folder of that recipe")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in SETTINGS], help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="as in tfdistill run")
    parser.add_argument("--table", action="store_true", help="print what is there and train nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/transfer_sets_<recipe>.json")
    parser.add_argument(
        "--logits", type=Path, help="file of the teacher's logits of all pairs; default: a temporary one"
    )
    arguments = parser.parse_args()
    import_quietly()

    from tfdistill.recipes.loading import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.set)
    output = arguments.output or Path(f"benchmarks/results/transfer_sets_{recipe.name}.json")
    results = Results(output)
    if not arguments.table:
        study = Study(recipe, arguments.run, arguments.logits, results)
        for setting in SETTINGS:
            for seed in arguments.seeds if arguments.only is None or setting.name in arguments.only else ():
                study.measure(setting, seed)
    table = results.table()
    output.with_suffix(".md").write_text(table)
    print(table)


LEGEND = f"""Made by `benchmarks/transfer_sets.py`. Mean ± standard deviation over seeds, test part.

A student is named DRAW-RATIO: how unrated pairs are drawn (`tfdistill.data.sample_unrated`) and how many there are per
rated pair; "rated" has none, "alone" no teacher either. Pairs are new every epoch, but with "fixed". Rows seen: in an epoch,
per rated pair ("3x_epochs" trains three times as long). auc, log_loss and the first ndcg are of the rated pairs of the test
part. recall@{LIST_LENGTH} and full_ndcg@{LIST_LENGTH} rank all items that the user has no training row of; relevant are the
positives of the test part. in_teacher_top_{LIST_LENGTH} is the share of that list which is in the teacher's list too.

"""


class Results:
    """The file of results: {"environment", "references": {name: metrics}, "runs": [...]}."""

    def __init__(self, path):
        self.path = path
        self.content = json.loads(path.read_text()) if path.exists() else {"references": {}, "runs": []}

    def find(self, name, seed):
        return next((run for run in self.content["runs"] if (run["name"], run["seed"]) == (name, seed)), None)

    def write(self):
        import keras
        import tensorflow as tf

        self.content["environment"] = {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.content, indent=1) + "\n")
        temporary.replace(self.path)

    def table(self):
        """Markdown: a row a setting, mean ± standard deviation over its seeds."""
        references = self.content["references"]
        columns = list(next(iter(references.values()))) if references else []
        lines = [f"| student | rows seen | seeds | {' | '.join(columns)} |", "|---" * (len(columns) + 3) + "|"]
        for name, metrics in references.items():
            values = ("" if metrics[column] is None else f"{metrics[column]:.4f}" for column in columns)
            lines.append(f"| {name} | | | {' | '.join(values)} |")
        for setting in SETTINGS:
            runs = [run["metrics"] for run in self.content["runs"] if run["name"] == setting.name]
            if runs:
                cells = (_mean_and_spread([metrics[column] for metrics in runs]) for column in columns)
                lines.append(f"| {setting.name} | {setting.rows_seen:g} | {len(runs)} | {' | '.join(cells)} |")
        return LEGEND + "\n".join(lines) + "\n"


def _mean_and_spread(values):
    return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")


class Study:
    """The data, the teacher's logits of all pairs, and what is measured with them."""

    def __init__(self, recipe, folder, logits_file, results):
        from tfdistill.data import Dataset, pair_expander

        self.recipe, self.folder, self.results = recipe, folder, results
        self.dataset = Dataset.load(folder / "data" / "dataset.npz")
        if self.dataset.context:
            raise SystemExit("This study needs data without context: a pair must have one soft target.")
        self.expand = pair_expander(self.dataset)
        self.rows = self.dataset.rows("train")
        self.rated = self.dataset.pairs(self.rows)
        self.label = self.dataset.label[self.rows][:, None]
        self.teacher = self._teacher_logits(logits_file)
        self.ranking = FullRanking(self.dataset, self.teacher)
        self._add_references()

    def measure(self, setting, seed):
        """Trains and measures one student, unless that has been done with the same settings."""
        recipe = self.recipe
        trained = recipe.student.train if setting.ratio is None else recipe.distill.train
        settings = trained.model_copy(update={"epochs": trained.epochs * setting.times_epochs})
        record = {
            "name": setting.name,
            "seed": seed,
            "setting": dataclasses.asdict(setting),
            "train": settings.model_dump(mode="json"),
        }
        found = self.results.find(setting.name, seed)
        if found is not None:
            if found["train"] != record["train"]:
                raise SystemExit(f"{self.results.path}: {setting.name} was made with other settings. Move it away.")
            return
        import keras

        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        student, epochs = self._train(setting, settings, seed)
        record["validation_auc"] = max(epoch["validation_auc"] for epoch in epochs)
        record["seconds"] = sum(epoch["seconds"] for epoch in epochs)
        record["metrics"] = self._metrics(student, all_pairs(student, self.dataset, self.expand))
        self.results.content["runs"].append(record)
        self.results.write()
        print(
            json.dumps({key: record[key] for key in ("name", "seed", "validation_auc", "seconds", "metrics")}),
            flush=True,
        )

    def _train(self, setting, settings, seed):
        from tfdistill import Distiller
        from tfdistill.losses import LogitsDistillation
        from tfdistill.recipes.stages.common import build_model, validation_quality
        from tfdistill.teachers import CachedTeacher
        from tfdistill.training import train

        student = build_model(self.recipe.student.model, settings, self.dataset, name="student")
        model, unrated = student, round((setting.ratio or 0) * len(self.rows))
        if setting.ratio is not None:
            model = Distiller(
                teacher=CachedTeacher(TEACHER_LOGITS),
                student=student,
                distillation_losses=LogitsDistillation(temperature=TEMPERATURE),
                student_loss_weight=self.recipe.distill.student_loss_weight,
                unlabeled_value=UNLABELED,
            )
        epochs = train(
            model,
            lambda epoch: self._columns(setting, unrated, seed, epoch),
            settings,
            seed=seed,
            rows_per_epoch=len(self.rows) + unrated,
            score=validation_quality(student, self.dataset),
            transform=self.expand,
        )
        return student, epochs

    def _columns(self, setting, unrated, seed, epoch):
        """The columns (x, y) of an epoch: the rated pairs, then the unrated ones."""
        from tfdistill.data import sample_unrated

        if setting.ratio is None:
            return self.rated, self.label
        x, y = {**self.rated, TEACHER_LOGITS: self._soft(self.rated["user_row"], self.rated["item_row"])}, self.label
        if not unrated:
            return x, y
        score = self._soft if setting.draw == "teacher" else None
        draw_seed = 1000 * seed + (epoch if setting.fresh else 0)
        user, item, rows = sample_unrated(self.dataset, unrated, draw_seed, setting.draw, score=score)
        drawn = {"user_row": user, "item_row": item, "context_row": rows.astype(np.int32)}
        drawn[TEACHER_LOGITS] = self._soft(user, item)
        x = {name: np.concatenate([column, drawn[name]]) for name, column in x.items()}
        return x, np.concatenate([y, np.full((unrated, 1), UNLABELED, y.dtype)])

    def _soft(self, user, item, context_rows=None):
        return self.teacher[user, item][:, None]

    def _metrics(self, model, logits):
        """The metrics of the test part, and of full rankings from the model's logits of all pairs [users, items]."""
        from tfdistill.recipes.stages.common import score
        from tfdistill.training import predict_logits

        k = self.recipe.evaluate.ndcg_k
        metrics = score(predict_logits(model, self.dataset.inputs(self.dataset.rows("test"))), self.dataset, "test", k)
        return {name: metrics[name] for name in ("auc", "log_loss", f"ndcg@{k}")} | self.ranking.metrics(logits)

    def _teacher(self):
        from tfdistill.recipes.stages.common import open_model

        return open_model(self.folder / "teacher" / "model.keras")

    def _teacher_logits(self, file):
        file = file or Path(tempfile.gettempdir()) / f"teacher_logits_{self.folder.name}.npy"
        if not file.exists():
            started = time.perf_counter()
            logits = all_pairs(self._teacher(), self.dataset, self.expand)
            with file.with_suffix(".tmp").open("wb") as stream:
                np.save(stream, logits)
            file.with_suffix(".tmp").replace(file)
            print(f"The teacher labelled {logits.size:,} pairs in {time.perf_counter() - started:.0f} s.", flush=True)
        return np.load(file)

    def _add_references(self):
        references = self.results.content["references"]
        if "teacher" in references:
            return
        references["teacher"] = self._metrics(self._teacher(), self.teacher)
        items = self.dataset.fields[1].size
        liked = np.bincount(self.rated["item_row"], self.label[:, 0], minlength=items)
        popularity = np.broadcast_to(liked, self.teacher.shape)
        references["items by number of positives"] = dict.fromkeys(references["teacher"]) | self.ranking.metrics(
            popularity
        )
        self.results.write()


def all_pairs(model, dataset, expand):
    """Logits of every user with every item, float32 [users, items] by vocabulary index; index 0 is the unknown one."""
    import tensorflow as tf

    users, items = (one.size for one in dataset.fields[:2])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def ask(user):
        count = tf.shape(user)[0]
        pairs = {"user_row": tf.repeat(user, items), "item_row": tf.tile(tf.range(items), [count])}
        return tf.reshape(model(expand(pairs), training=False), [count, items])

    blocks = (tf.range(start, min(start + USERS_AT_A_TIME, users)) for start in range(0, users, USERS_AT_A_TIME))
    return np.concatenate([ask(user).numpy() for user in blocks])


class FullRanking:
    """For each user all items outside the user's training part are ranked; relevant are the user's positives of the test part.

    Users without a relevant item, and test items that training does not have, are left out.

    Args:
        dataset: `Dataset`.
        teacher: the teacher's logits of all pairs, whose lists the student's are compared with.
    """

    def __init__(self, dataset, teacher):
        training, test = dataset.rows("train"), dataset.rows("test")
        self.excluded = np.zeros(teacher.shape, bool)
        self.excluded[:, 0] = True
        self.excluded[dataset.user[training], dataset.item[training]] = True
        self.relevant = np.zeros(teacher.shape, bool)
        positive = test[dataset.label[test] > 0.5]
        self.relevant[dataset.user[positive], dataset.item[positive]] = True
        self.relevant &= ~self.excluded
        self.users = np.flatnonzero(self.relevant[1:].any(1)) + 1
        self.teacher_list = self._lists(teacher)

    def metrics(self, logits):
        """Mean over users of recall and ndcg of the list, and the share of it that is also in the teacher's."""
        lists = self._lists(logits)
        hits = np.take_along_axis(self.relevant[self.users], lists, 1)
        positives = self.relevant[self.users].sum(1)
        discount = 1 / np.log2(np.arange(LIST_LENGTH) + 2)
        ideal = np.cumsum(discount)[np.minimum(positives, LIST_LENGTH) - 1]
        shared = (lists[:, :, None] == self.teacher_list[:, None, :]).any(2)
        return {
            f"recall@{LIST_LENGTH}": float((hits.sum(1) / positives).mean()),
            f"full_ndcg@{LIST_LENGTH}": float(((hits * discount).sum(1) / ideal).mean()),
            f"in_teacher_top_{LIST_LENGTH}": float(shared.mean()),
        }

    def _lists(self, logits):
        scores = np.where(self.excluded[self.users], -np.inf, logits[self.users])
        first = np.argpartition(-scores, LIST_LENGTH, axis=1)[:, :LIST_LENGTH]
        order = np.argsort(-np.take_along_axis(scores, first, 1), axis=1, kind="stable")
        return np.take_along_axis(first, order, 1)


if __name__ == "__main__":
    main()
