"""What distillation costs: steps a second beside the student alone and beside keras.distillation, in one run.

    python benchmarks/distiller_speed.py            without XLA
    python benchmarks/distiller_speed.py --xla      with it
    python benchmarks/distiller_speed.py --small    a student so small that the losses are as large as it

The teacher has ten times the student's parameters or more; features are those of the last hidden layers. Rounds alternate
between the peers, each pair of rounds gives a ratio, and the median of the ratios is printed with the lowest and the
highest. Beside it stands the ratio of the fastest rounds: a machine that is throttled at times only ever adds to a round.
"""

import argparse
import statistics
import time

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

BATCH, STEPS, ROUNDS, WIDTH, CLASSES, SEED = 1024, 20, 15, 128, 10, 1
LARGE = ((512, 256), (2048, 1024, 256))  # hidden layers of the student, of the teacher
SMALL = ((256, 128), (1024, 512, 256))
FEATURES = ("hidden_2", "hidden_1")  # the last hidden layers of the teacher, of the student


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xla", action="store_true", help="compile every step with XLA")
    parser.add_argument("--small", action="store_true", help="a teacher and a student of a quarter of the size")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of all threads, for machines that throttle")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pairs of rounds, default {ROUNDS}")
    arguments = parser.parse_args()
    import_quietly()
    import keras
    import numpy as np

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    x = random.normal(size=(BATCH * STEPS, WIDTH)).astype("float32")
    y = random.integers(0, CLASSES, BATCH * STEPS)
    student_widths, teacher_widths = SMALL if arguments.small else LARGE
    teacher = network(teacher_widths, "teacher")
    jobs = jobs_of(teacher, student_widths, x, y, arguments.xla)
    ratio = teacher.count_params() / network(student_widths, "student").count_params()
    print(
        describe_run(
            f"batch {BATCH}, {STEPS} steps a round, {arguments.rounds} rounds, seed {SEED}, XLA {arguments.xla}, "
            f"{'CPU' if arguments.cpu else 'wall'} time"
        )
    )
    print(f"teacher {teacher.count_params():,} parameters, {ratio:.1f} times the student's")
    seconds = timed(jobs, arguments.rounds, time.process_time if arguments.cpu else time.perf_counter)
    for name, times in seconds.items():
        milliseconds = 1000 * statistics.median(times) / STEPS
        print(f"{name:42} {milliseconds:7.2f} ms a step {BATCH / milliseconds:8.0f} thousand examples/s")
    print()
    forward_and_step = [a + b for a, b in zip(seconds["teacher forward"], seconds["student alone"], strict=True)]
    logits = seconds["tfdistill, live teacher"]
    compare("cached soft targets / student alone", seconds["tfdistill, cached soft targets"], seconds["student alone"])
    compare(
        "keras.distillation / cached soft targets",
        seconds["keras.distillation"],
        seconds["tfdistill, cached soft targets"],
    )
    compare("live teacher / (teacher forward + student)", logits, forward_and_step)
    compare("live teacher / keras.distillation", logits, seconds["keras.distillation"])
    for name in [name for name in seconds if name.startswith("tfdistill, live teacher + ")]:
        compare(f"{name.removeprefix('tfdistill, ')} / live teacher", seconds[name], logits)


def jobs_of(teacher, student_widths, x, y, xla):
    """{name: function that trains for a round, or labels as many examples}."""
    import keras

    import tfdistill
    from tfdistill import losses
    from tfdistill.teachers import CachedTeacher

    def student():
        return network(student_widths, "student")

    kl = keras.losses.KLDivergence()
    logits = losses.LogitsDistillation(temperature=3.0)
    soft = teacher.predict(x, batch_size=BATCH, verbose=0)
    plain = batches((x, y))
    cached = batches(({"x": x, "teacher_logits": soft}, y))
    with_features = {
        "hint": losses.HintDistillation(*FEATURES),
        "similarity preserving": losses.SimilarityPreserving(*FEATURES),
        "relational": losses.RelationalDistillation(*FEATURES),
        "contrastive": losses.ContrastiveDistillation(*FEATURES),
    }
    models = {
        "student alone": (student(), plain),
        "keras.distillation": (
            keras.distillation.Distiller(teacher, student(), keras.distillation.LogitsDistillation(loss=kl)),
            plain,
        ),
        "tfdistill, cached soft targets": (
            tfdistill.Distiller(CachedTeacher("teacher_logits"), student(), logits),
            cached,
        ),
        "tfdistill, live teacher": (tfdistill.Distiller(teacher, student(), logits), plain),
    }
    for name, loss in with_features.items():
        distiller = tfdistill.Distiller(teacher, student(), [logits, loss])
        models[f"tfdistill, live teacher + {name}"] = (distiller, plain)
    jobs = {}
    for name, (model, data) in models.items():
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=xla)
        jobs[name] = lambda model=model, data=data: model.fit(data, verbose=0)
    teacher.compile(jit_compile=xla)
    inputs = plain.map(lambda x, y: x)
    jobs["teacher forward"] = forward(teacher, inputs, xla)
    return jobs


def forward(teacher, inputs, xla):
    """A function that runs the teacher over a round's batches and keeps nothing, like the teacher in a step."""
    import tensorflow as tf

    @tf.function(jit_compile=xla)
    def step(batch):
        return tf.reduce_sum(teacher(batch, training=False))

    def run():
        for batch in inputs:
            step(batch)

    return run


def network(widths, name):
    """A classifier of dense layers."""
    import keras

    hidden = [keras.layers.Dense(units, "relu", name=f"hidden_{n}") for n, units in enumerate(widths)]
    return keras.Sequential([keras.Input((WIDTH,), name="x"), *hidden, keras.layers.Dense(CLASSES)], name=name)


def batches(columns):
    """The columns in memory, batched."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(columns).batch(BATCH, drop_remainder=True).cache().prefetch(4)


if __name__ == "__main__":
    main()
