"""What quantisation-aware training costs: milliseconds a step beside the same model without it, and beside TFMOT.

    python benchmarks/quantization_step.py --xla              compiled with XLA
    python benchmarks/quantization_step.py --xla --image      a small convolutional network instead of dense layers
    python benchmarks/quantization_step.py --no-tfmot         without XLA and without the tf_keras twin

All kernels and activations of a classifier of 1.6 million weights have 8 bits. Rounds alternate between the models, each
pair of rounds gives a ratio, and the median of the ratios is printed with the lowest and the highest. Beside it stands the
ratio of the fastest rounds: a machine that is throttled at times only ever adds to a round.
"""

import argparse
import os
import statistics

from rounds import compare, describe_run, timed

from tfdistill._tensorflow import import_quietly

WIDTH, HIDDEN, CLASSES = 256, (1024, 1024, 256), 10
IMAGE, FILTERS = (28, 28, 1), (16, 32)
BATCH, STEPS, ROUNDS, SEED = 1024, 10, 11, 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xla", action="store_true", help="compile every step with XLA")
    parser.add_argument("--image", action="store_true", help="convolutions with normalisation, batches of an eighth")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"default {BATCH}")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps a round, default {STEPS}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pairs of rounds, default {ROUNDS}")
    parser.add_argument("--no-tfmot", action="store_true", help="leave out the tf_keras twin")
    arguments = parser.parse_args()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import_quietly()
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    batch = arguments.batch // 8 if arguments.image else arguments.batch
    x = random.normal(size=(batch, *(IMAGE if arguments.image else (WIDTH,)))).astype("float32")
    y = random.integers(0, CLASSES, batch)
    data = tf.data.Dataset.from_tensors((x, y)).repeat(arguments.steps).prefetch(2)
    models = models_of(images if arguments.image else dense, with_tfmot=not arguments.no_tfmot)
    print(
        describe_run(
            f"{models['plain'].count_params():,} parameters, batch {batch}, {arguments.steps} steps a round, "
            f"{arguments.rounds} rounds, seed {SEED}, XLA {arguments.xla}, wall time"
        )
    )
    for model in models.values():
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=arguments.xla)
    jobs = {name: lambda model=model: model.fit(data, verbose=0) for name, model in models.items()}
    seconds = timed(jobs, arguments.rounds)
    for name, times in seconds.items():
        print(f"{name:24} {1000 * statistics.median(times) / arguments.steps:8.2f} ms a step")
    print()
    for name in ("quantised", "weights alone", "learned ranges"):
        compare(f"{name} / plain", seconds[name], seconds["plain"])
    if not arguments.no_tfmot:
        compare("TFMOT quantised / tf_keras plain", seconds["TFMOT quantised"], seconds["tf_keras plain"])
        compare("quantised / TFMOT quantised", seconds["quantised"], seconds["TFMOT quantised"])


def models_of(network, with_tfmot):
    """{name: model}, all of the same shape."""
    import keras

    from tfdistill.quantization import QuantizeScheme, quantize_model

    models = {
        "plain": network(keras),
        "quantised": quantize_model(network(keras)),
        "weights alone": quantize_model(network(keras), QuantizeScheme(activation_bits=None)),
        "learned ranges": quantize_model(network(keras), QuantizeScheme(ranges="learned")),
    }
    if with_tfmot:
        import tf_keras

        models["tf_keras plain"] = network(tf_keras)
        models["TFMOT quantised"] = quantize_model(network(tf_keras))
    return models


def dense(library):
    """A classifier of dense layers, of Keras or of tf_keras."""
    layers = [library.layers.Dense(units, "relu") for units in HIDDEN]
    model = library.Sequential([library.Input((WIDTH,)), *layers, library.layers.Dense(CLASSES, "softmax")])
    model.build((None, WIDTH))
    return model


def images(library):
    """A classifier of convolutions with normalisation, of Keras or of tf_keras."""
    blocks = []
    for filters in FILTERS:
        convolution = library.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)
        blocks += [convolution, library.layers.BatchNormalization(), library.layers.ReLU()]
    head = [library.layers.Flatten(), library.layers.Dense(CLASSES, "softmax")]
    model = library.Sequential([library.Input(IMAGE), *blocks, *head])
    model.build((None, *IMAGE))
    return model


if __name__ == "__main__":
    main()
