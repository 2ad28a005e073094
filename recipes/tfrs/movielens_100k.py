"""TFRS from end to end on MovieLens-100K: a teacher, a student with and without it, pruned by TFMOT, and files of it.

    python recipes/tfrs/movielens_100k.py --data ml-100k --out runs/tfrs

prints a table and writes it to OUT/results.json, with the files beside it. Four minutes on two cores.
"""

import argparse
import os
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # before TensorFlow is imported: TFRS and TFMOT are for Keras 2
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfdistill import files
from tfdistill.data import implicit, movielens_100k
from tfdistill.evaluation import dot_scores, evaluate_ranking, evaluate_retrieval_file
from tfdistill.export import export_retrieval
from tfdistill.losses import LogitsDistillation
from tfdistill.sparsity import PolynomialDecay, UpdatePruningStep, prune_low_magnitude, strip_pruning
from tfdistill.tfrs import DistillationTask, tower_vectors

BATCH_SIZE = 1024
LENGTHS = (10, 50)
FORMATS = ("saved_model", "tflite_float32", "tflite_dynamic_int8")


class Tower(tf_keras.Model):
    """A table a field (a number goes in as it is), joined, and two dense layers; {field: tensor} -> [batch, width]."""

    def __init__(self, entity, count, fields, width, dropout):
        super().__init__()
        regularizer = tf_keras.regularizers.L2(1e-6)
        self.names = [(entity, "categorical")] + [(field.name, field.kind) for field in fields]
        sizes = {entity: count} | {field.name: field.size for field in fields if field.kind != "numeric"}
        self.tables = {
            name: tf_keras.layers.Embedding(size, width, embeddings_regularizer=regularizer)
            for name, size in sizes.items()
        }
        self.dropout = tf_keras.layers.Dropout(dropout)
        self.hidden = tf_keras.layers.Dense(2 * width, activation="relu")
        self.vector = tf_keras.layers.Dense(width)

    def call(self, inputs, training=False):
        joined = []
        for name, kind in self.names:
            if kind == "numeric":
                joined.append(inputs[name][:, None])
                continue
            rows = self.tables[name](inputs[name])
            if kind == "bag":
                is_member = tf.cast(inputs[name] > 0, tf.float32)[..., None]
                rows = tf.reduce_sum(rows * is_member, axis=1) / tf.maximum(tf.reduce_sum(is_member, axis=1), 1.0)
            joined.append(rows)
        x = self.dropout(tf.concat(joined, axis=1), training=training)
        return joined[0] + self.vector(self.dropout(self.hidden(x), training=training))


def table(name, count, width):
    """A student's tower: a row for each id, in a model that TFMOT can prune."""
    layers = [tf_keras.Input((), dtype=tf.int32), tf_keras.layers.Embedding(count, width, "uniform")]
    return tf_keras.Sequential(layers, name=name)


class TwoTowers(tfrs.Model):
    """TFRS's retrieval task, and beside it, where there is a teacher, ours: softened scores of the batch's items."""

    def __init__(self, user_tower, item_tower, log_q, teacher=None, weight=1.0, temperature=1.0):
        super().__init__()
        self.user_tower, self.item_tower = user_tower, item_tower
        self.task, self.probability = tfrs.tasks.Retrieval(remove_accidental_hits=True), tf.constant(np.exp(log_q))
        self.teacher = None if teacher is None else [tf.constant(teacher.user), tf.constant(teacher.item)]
        if teacher is not None:
            self.distillation = DistillationTask(LogitsDistillation(temperature), weight * BATCH_SIZE)

    def compute_loss(self, inputs, training=False):
        user = self.user_tower(inputs if isinstance(self.user_tower, Tower) else inputs["user"], training=training)
        item = self.item_tower(inputs if isinstance(self.item_tower, Tower) else inputs["item"], training=training)
        probability = tf.gather(self.probability, inputs["item"])
        loss = self.task(user, item, candidate_sampling_probability=probability, candidate_ids=inputs["item"])
        if self.teacher is not None:
            teacher_user, teacher_item = (
                tf.gather(self.teacher[0], inputs["user"]),
                tf.gather(self.teacher[1], inputs["item"]),
            )
            teacher_scores = tf.matmul(teacher_user, teacher_item, transpose_b=True)
            loss += self.distillation(teacher_scores, tf.matmul(user, item, transpose_b=True))
        return loss


def columns(dataset, part):
    """A training example a pair: ids and the features of both sides."""
    user, item = dataset.pairs[part].T
    sides = (user, dataset.user_features), (item, dataset.item_features)
    return {"user": user, "item": item} | {
        name: table[rows] for rows, features in sides for name, table in features.items()
    }


def train(model, dataset, epochs, learning_rate, seed, callbacks=()):
    pairs = len(dataset.pairs["train"])
    batches = tf.data.Dataset.from_tensor_slices(columns(dataset, "train")).shuffle(pairs, seed)
    model.compile(tf_keras.optimizers.Adam(learning_rate))
    model.fit(batches.batch(BATCH_SIZE, drop_remainder=True), epochs=epochs, verbose=0, callbacks=list(callbacks))


def quality(evaluation):
    names = [f"{metric}@{k}" for metric in ("recall", "ndcg") for k in LENGTHS]
    return {name: round(evaluation[name], 4) for name in names}


def run(path, out, seed, settings):
    tf_keras.utils.set_random_seed(seed)
    dataset = implicit(movielens_100k(path), "random", seed=seed)
    counts = np.maximum(dataset.item_counts("train"), 1)
    log_q = np.log(counts / counts.sum()).astype(np.float32)
    users, items = np.arange(dataset.users), np.arange(dataset.items)
    results = []

    def record(name, evaluation, size, started):
        results.append(
            {"model": name, **quality(evaluation), "bytes": size, "seconds": round(time.time() - started, 1)}
        )
        print(results[-1], flush=True)

    def add(name, model, vectors, started):
        weights = sum(
            np.size(weight) for tower in (model.user_tower, model.item_tower) for weight in tower.get_weights()
        )
        record(name, evaluate_ranking(dot_scores(vectors.user, vectors.item), dataset, k=LENGTHS), 4 * weights, started)

    def towers(width):
        return table("user_tower", dataset.users, width), table("item_tower", dataset.items, width)

    started = time.time()
    sides = ("user", dataset.users, dataset.user_fields), ("item", dataset.items, dataset.item_fields)
    model = TwoTowers(*(Tower(*side, settings.teacher_width, settings.teacher_dropout) for side in sides), log_q)
    train(model, dataset, settings.teacher_epochs, settings.teacher_learning_rate, seed)
    teacher = tower_vectors(
        *(model.user_tower, model.item_tower),
        {"user": users, **dataset.user_features},
        {"item": items, **dataset.item_features},
    )
    add("teacher", model, teacher, started)

    started = time.time()
    model = TwoTowers(*towers(settings.width), log_q)
    train(model, dataset, settings.epochs, settings.learning_rate_alone, seed)
    add("student alone", model, tower_vectors(model.user_tower, model.item_tower, users, items), started)

    started = time.time()
    soft = {"teacher": teacher, "weight": settings.weight, "temperature": settings.temperature}
    model = TwoTowers(*towers(settings.width), log_q, **soft)
    train(model, dataset, settings.epochs, settings.learning_rate, seed)
    add("distilled", model, tower_vectors(model.user_tower, model.item_tower, users, items), started)

    started = time.time()
    steps = settings.pruning_epochs * (len(dataset.pairs["train"]) // BATCH_SIZE)
    schedule = PolynomialDecay(0.0, settings.sparsity, begin_step=0, end_step=steps // 2, frequency=10)
    model = TwoTowers(
        *(prune_low_magnitude(tower, schedule) for tower in (model.user_tower, model.item_tower)), log_q, **soft
    )
    train(model, dataset, settings.pruning_epochs, settings.learning_rate, seed, [UpdatePruningStep()])
    model.user_tower, model.item_tower = (strip_pruning(tower) for tower in (model.user_tower, model.item_tower))
    student = tower_vectors(model.user_tower, model.item_tower, users, items)
    add(f"distilled, {np.mean(student.item == 0):.0%} of the weights zero", model, student, started)

    for format in FORMATS:
        started = time.time()
        path = export_retrieval(student, dataset, out / f"student_{format}", format, k=100)
        evaluation = evaluate_retrieval_file(path, dataset, k=LENGTHS)
        record(f"its file, {format}", evaluation, files.size(path), started)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with u.data, u.user and u.item; downloaded where it is not given")
    parser.add_argument("--out", type=Path, default=Path("runs/tfrs_movielens_100k"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--teacher-width", type=int, default=64)
    parser.add_argument("--teacher-dropout", type=float, default=0.5)
    parser.add_argument("--teacher-epochs", type=int, default=40)
    parser.add_argument("--teacher-learning-rate", type=float, default=3e-3)
    parser.add_argument("--width", type=int, default=8, help="of the student's vectors")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="of the distilled student")
    parser.add_argument("--learning-rate-alone", type=float, default=3e-2)
    parser.add_argument("--weight", type=float, default=3.0, help="of the distillation loss")
    parser.add_argument("--temperature", type=float, default=3.0)
    parser.add_argument("--pruning-epochs", type=int, default=15)
    parser.add_argument("--sparsity", type=float, default=0.3)
    settings = parser.parse_args()
    results = run(settings.data, settings.out, settings.seed, settings)
    names = list(results[0])
    rows = [[f"{value:,}" if name == "bytes" else str(value) for name, value in row.items()] for row in results]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in [names, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    files.write_json(settings.out / "results.json", {"seed": settings.seed, "results": results})


if __name__ == "__main__":
    main()
