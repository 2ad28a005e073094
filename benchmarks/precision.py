"""What mixed precision costs in quality and gives in speed: students distilled in float32, mixed_float16 and mixed_bfloat16.

    python benchmarks/precision.py                       3 seeds, the embedded data sets; about ten minutes on two cores
    python benchmarks/precision.py --hidden 2048 1024    wider students, where products are most of a step
    python benchmarks/precision.py --seeds 1 --rounds 2  a look

Two jobs: a click-through student (MLP) from a live DCN-v2 teacher, judged by AUC, and a retrieval student (SASRec) from a
wider one, judged by NDCG@10 of full ranking. Teachers are float32 and the same for all. For a precision and a seed a student
is trained from scratch; the quality is that of the model and of its float16 TFLite file. Then the three precisions train
epochs by turns: ms a step, and the median of the ratios to float32 in paired rounds. On a CPU expect no gain.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

BATCH, USERS_A_BATCH, LENGTH, SEEDS, ROUNDS = 512, 64, 20, 3, 5
EPOCHS = {"click-through": 4, "retrieval": 20}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"students a precision, default {SEEDS}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"timed epochs a precision, default {ROUNDS}")
    parser.add_argument(
        "--hidden", type=int, nargs="+", default=[64, 32], help="dense layers of the click-through student"
    )
    parser.add_argument("--width", type=int, default=16, help="vectors of the retrieval student")
    arguments = parser.parse_args()
    import_quietly()
    import tensorflow as tf

    devices = ", ".join(device.device_type for device in tf.config.list_physical_devices())
    print(
        describe_run(
            f"{devices}; click-through student of {arguments.hidden}, batch {BATCH}, retrieval student of width "
            f"{arguments.width}, {arguments.seeds} seeds, {arguments.rounds} rounds"
        )
    )
    for job in (ClickThrough(arguments.hidden), Retrieval(arguments.width)):
        measure(job, arguments.seeds, arguments.rounds)


def measure(job, seeds, rounds):
    """Prints the quality of a job's students, and the time of their steps."""
    from tfdistill.precision import PRECISIONS

    print(f"\n{job.name}, teacher {job.metric} {job.teacher_quality:.4f}")
    epochs = {}
    for precision in PRECISIONS:
        of_models, of_files = [], []
        for seed in range(1, seeds + 1):
            distiller, epoch = job.trainer(precision, seed)
            for _ in range(EPOCHS[job.name]):
                epoch()
            of_models.append(job.quality(distiller.student))
            of_files.append(job.quality_of_file(distiller.student))
            epochs.setdefault(precision, epoch)
        print(f"  {precision:16} {job.metric} {spread(of_models)}, float16 file {spread(of_files)}")
    seconds = timed(epochs, rounds)
    for precision, times in seconds.items():
        print(f"  {precision:16} {1000 * statistics.median(times) / job.steps:8.2f} ms a step")
    for precision in PRECISIONS[1:]:
        compare(f"  time: {precision} / float32", seconds[precision], seconds["float32"])


def spread(values):
    """Mean and standard deviation in words."""
    deviation = f" ± {statistics.stdev(values):.5f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.5f}{deviation}"


class ClickThrough:
    """An MLP that learns from labels and from a DCN-v2, which runs beside it."""

    name, metric = "click-through", "AUC"

    def __init__(self, hidden):
        import keras

        from tfdistill.data import encode, split, synthetic
        from tfdistill.models import dcn_v2

        interactions = synthetic(seed=1, users=2000, items=1000, interactions=100_000)
        self.hidden, self.data = tuple(hidden), encode(interactions, split(interactions, seed=1))
        rows = self.data.rows("train")
        self.steps = len(rows) // BATCH
        rows = rows[: self.steps * BATCH]
        self.x, self.y = self.data.inputs(rows), self.data.label[rows][:, None]
        keras.utils.set_random_seed(0)
        self.teacher = dcn_v2(self.data.fields, embedding_width=16, cross_layers=2, hidden_units=(128,), dropout=0.2)
        self.teacher.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
        self.teacher.fit(self.x, self.y, batch_size=BATCH, epochs=4, verbose=0)
        self.teacher_quality = self.quality(self.teacher)

    def trainer(self, precision, seed):
        """(the distiller, a function that trains it for an epoch)."""
        import keras

        from tfdistill import Distiller
        from tfdistill.losses import LogitsDistillation
        from tfdistill.models import mlp
        from tfdistill.precision import building_in

        keras.utils.set_random_seed(seed)
        with building_in(precision):
            student = mlp(self.data.fields, embedding_width=8, hidden_units=self.hidden)
        distiller = Distiller(self.teacher, student, LogitsDistillation(1.0), student_loss_weight=0.1)
        distiller.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
        return distiller, lambda: distiller.fit(self.x, self.y, batch_size=BATCH, verbose=0)

    def quality(self, model):
        from tfdistill.training import predict_logits

        return self._auc(predict_logits(model, self.data.inputs(self.data.rows("test")))[:, 0])

    def quality_of_file(self, model):
        from tfdistill.evaluation import open_artifact
        from tfdistill.export import export_tflite

        with tempfile.TemporaryDirectory() as folder:
            path = export_tflite(model, Path(folder) / "student.tflite", "tflite_float16")
            return self._auc(open_artifact(path).predict(self.data.inputs(self.data.rows("test"))))

    def _auc(self, scores):
        from tfdistill.evaluation import auc

        return auc(self.data.label[self.data.rows("test")], scores)


class Retrieval:
    """A SASRec that learns from histories and from a wider one's vectors and next items."""

    name, metric = "retrieval", "NDCG@10"

    def __init__(self, width):
        import keras

        from tfdistill.data import implicit, next_item_windows, synthetic

        self.width = width
        self.data = implicit(synthetic(seed=1, users=1000, items=500, interactions=50_000), "leave_one_out", seed=1)
        windows = next_item_windows(self.data, LENGTH)
        self.steps = len(windows["user"]) // USERS_A_BATCH
        windows = {name: array[: self.steps * USERS_A_BATCH] for name, array in windows.items()}
        self.x = {"user": {"history": windows["history"]}, "item": windows["target"]}
        keras.utils.set_random_seed(0)
        self.teacher = self._model(64)
        _, epoch = self._trainer(self.teacher, None)
        for _ in range(EPOCHS[self.name]):
            epoch()
        self.teacher_quality = self.quality(self.teacher)

    def trainer(self, precision, seed):
        """(the distiller, a function that trains it for an epoch)."""
        import keras

        from tfdistill.precision import building_in

        keras.utils.set_random_seed(seed)
        with building_in(precision):
            return self._trainer(self._model(self.width), self.teacher)

    def _model(self, width):
        from tfdistill.models import sas_rec

        return sas_rec(self.data.items, LENGTH, width, blocks=1)

    def _trainer(self, model, teacher):
        import keras

        from tfdistill import RetrievalDistiller
        from tfdistill.losses import NextItemDistillation

        losses = [] if teacher is None else NextItemDistillation()
        distiller = RetrievalDistiller(teacher, model, losses, base_loss="full_softmax", reduction="mean")
        distiller.set_dataset(self.data)
        distiller.compile(keras.optimizers.Adam(3e-3, epsilon=1e-8), jit_compile=False)
        return distiller, lambda: distiller.fit(self.x, batch_size=USERS_A_BATCH, verbose=0)

    def quality(self, model):
        from tfdistill.evaluation import dot_scores, evaluate_ranking
        from tfdistill.models import item_vectors, user_vectors

        users = user_vectors(model, self.data, parts=("train", "validation"))
        scores = dot_scores(users, item_vectors(model, self.data))
        return evaluate_ranking(scores, self.data, "test", ("train", "validation"), (10,))["ndcg@10"]

    def quality_of_file(self, model):
        from tfdistill.evaluation import evaluate_retrieval_file
        from tfdistill.export import export_retrieval

        seen = ("train", "validation")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.tflite"
            export_retrieval(model, self.data, path, "tflite_float16", k=10, exclude=seen)
            return evaluate_retrieval_file(path, self.data, "test", seen, (10,), history=seen)["ndcg@10"]


if __name__ == "__main__":
    main()
