"""Run by test_parameter_server.py: as "serve" the process of all servers, as "train" that of the chief, which prints JSON."""

import json
import os
import sys

import numpy as np
import tensorflow as tf

ROWS, BATCH, STEPS = 51, 32, 20


def serve():
    """A worker and two parameter servers in one process."""
    cluster = json.loads(os.environ["TF_CONFIG"])["cluster"]
    spec = tf.train.ClusterSpec(cluster)
    jobs = [(job, index) for job in ("worker", "ps") for index in range(len(cluster[job]))]
    servers = [tf.distribute.Server(spec, job_name=job, task_index=index) for job, index in jobs]
    servers[0].join()


def batches():
    ids = np.arange(ROWS, dtype="int32")
    logits = np.where(ids % 2, 3.0, -3.0).astype("float32")[:, None]
    examples = tf.data.Dataset.from_tensor_slices(({"id": ids, "teacher_logits": logits}, ids[:, None] % 2))
    return examples.shuffle(ROWS).repeat().batch(BATCH)


def train(folder):
    import keras

    from tfdistill import Distiller, losses, optimizers
    from tfdistill.distribution import ShardedEmbedding, fit_asynchronously, make_strategy
    from tfdistill.teachers import CachedTeacher

    strategy = make_strategy("parameter_server")
    found = {}
    for name, make in {
        "Adam": lambda: optimizers.Adam(0.1),
        "RowWiseAdagrad": lambda: optimizers.RowWiseAdagrad(0.5, tables=["*embeddings_*"]),
        "SGD of Keras": lambda: keras.optimizers.SGD(1.0),
    }.items():
        with strategy.scope():
            keras.utils.set_random_seed(1)
            inputs = {"id": keras.Input((), dtype="int32", name="id")}
            student = keras.Model(inputs, keras.layers.Dense(1)(ShardedEmbedding(ROWS, 4)(inputs["id"])))
            loss = losses.LogitsDistillation(task="binary")
            distiller = Distiller(CachedTeacher(), student, loss)
            distiller.compile(make(), keras.losses.BinaryCrossentropy(from_logits=True))
        logs = fit_asynchronously(distiller, batches, epochs=2, steps_per_epoch=STEPS)
        found[name] = {
            "losses": [one["loss"] for one in logs],
            "iterations": int(distiller.optimizer.iterations),
            "devices": [weight.value.device for weight in student.layers[1].weights],
            "shapes": [list(weight.shape) for weight in student.layers[1].weights],
        }
    student.save(folder + "/student.keras")
    ids = np.arange(ROWS, dtype="int32")
    found["answers"] = student({"id": ids}).numpy()[:, 0].tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else train(sys.argv[2])
