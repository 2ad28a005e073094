"""Milliseconds a step of tfdistill's Distiller beside Keras's own, and of the student alone, in one run.

    python benchmarks/distiller_step.py

Rounds alternate between the peers, so that a machine that slows down slows them all; the medians and the ratio are printed.
"""

import statistics

from rounds import describe_run, timed

from tfdistill._tensorflow import import_quietly

BATCH, STEPS, ROUNDS, WIDTH, SEED = 1024, 100, 7, 64, 1


def main():
    import_quietly()
    import keras
    import numpy as np
    import tensorflow as tf

    import tfdistill
    from tfdistill import losses

    def network(units, layers, name):
        hidden = [keras.layers.Dense(units, "relu", name=f"{name}_{number}") for number in range(layers)]
        return keras.Sequential([keras.Input((WIDTH,)), *hidden, keras.layers.Dense(10)], name=name)

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    x = random.normal(size=(BATCH * STEPS, WIDTH)).astype("float32")
    y = random.integers(0, 10, BATCH * STEPS)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).cache()
    teacher = network(256, 4, "teacher")

    def compiled(model):
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        return model

    kl = keras.losses.KLDivergence()
    peers = {
        "student alone": compiled(network(WIDTH, 2, "student")),
        "keras.distillation": compiled(
            keras.distillation.Distiller(
                teacher, network(WIDTH, 2, "student"), keras.distillation.LogitsDistillation(loss=kl)
            )
        ),
        "tfdistill": compiled(
            tfdistill.Distiller(teacher, network(WIDTH, 2, "student"), losses.LogitsDistillation(loss=kl))
        ),
    }
    print(describe_run(f"batch {BATCH}, {STEPS} steps a round, {ROUNDS} rounds"))
    for what in ("fit", "evaluate"):
        jobs = {
            name: lambda model=model, what=what: getattr(model, what)(data, verbose=0) for name, model in peers.items()
        }
        seconds = timed(jobs, ROUNDS)
        medians = {name: 1000 * statistics.median(times) / STEPS for name, times in seconds.items()}
        for name, milliseconds in medians.items():
            ratio = milliseconds / medians["keras.distillation"]
            print(f"{what:8}  {name:18}  {milliseconds:6.2f} ms a step  {ratio:5.2f} x keras.distillation")


if __name__ == "__main__":
    main()
