"""Which layers can be pruned, clustered and quantised, here and with TFMOT: runs every one and writes docs/coverage.md.

    python benchmarks/coverage.py                 all layers, about ten minutes
    python benchmarks/coverage.py Dense LSTM      these alone, printed and not written

A model around the layer is compressed, trained for a few steps, stripped or exported, and what came out is looked at: zeros,
distinct values, int8 tensors in the file, outputs beside those of the Keras model. TFMOT does the same on a twin of tf_keras.
"""

import argparse
import math
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from coverage_samples import NO_ROW, SAMPLES, WITHOUT_WEIGHTS, inputs_of

from tfdistill._tensorflow import import_quietly

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
SPARSITY, CLUSTERS, SEED = 0.5, 4, 1
YES = "yes"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", help="default: all, written to docs/coverage.md")
    chosen = parser.parse_args().layers
    import_quietly()
    warnings.filterwarnings("ignore")
    check_complete()
    unknown = sorted(set(chosen) - set(SAMPLES))
    if unknown:
        parser.error(f"no sample of {unknown}; there are {', '.join(SAMPLES)}")
    rows = []
    for name in chosen or SAMPLES:
        rows.append(row(name))
        print(" | ".join(rows[-1]), flush=True)
    if not chosen:
        from tfdistill import files

        with files.atomic_path(PAGE) as temporary:
            temporary.write_text(page(rows))


def check_complete():
    """Every layer class of Keras has a sample or a reason."""
    import keras

    classes = {
        thing.__name__
        for thing in vars(keras.layers).values()
        if isinstance(thing, type) and issubclass(thing, keras.layers.Layer)
    }
    missing = classes - set(SAMPLES) - set(NO_ROW) - set(WITHOUT_WEIGHTS)
    if missing:
        raise SystemExit(f"no sample and no reason: {', '.join(sorted(missing))}")


def row(name):
    """What became of one layer: the cells of its row."""
    ours = [attempt(work, name) for work in (pruned, clustered, quantized_and_exported)]
    theirs = [attempt(work, name) for work in (tfmot_pruned, tfmot_clustered, tfmot_quantized)]
    quantized, exported = ours[2] if isinstance(ours[2], tuple) else (ours[2], ours[2])
    return [f"`{name}`", ours[0], ours[1], quantized, exported, *theirs]


def attempt(work, name):
    """What a piece of work says, or its error in a few words."""
    import keras

    keras.utils.set_random_seed(SEED)
    keras.backend.clear_session()
    try:
        return work(name)
    except Exception as error:
        return reason(error)


def reason(error):
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.split(". ")[0].replace("|", "/")
    return "no: " + (text if len(text) <= 90 else text[:87] + "...")


def trained(model, x):
    """The model after a few steps towards zero, so that every weight has moved."""
    import numpy as np

    target = np.zeros_like(model.predict(x, verbose=0))
    model.compile("sgd", "mse")
    model.fit(x, target, batch_size=len(x), epochs=3, verbose=0)
    return model


def pruned(name):
    import keras
    import numpy as np

    from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude, strip_pruning

    model = SAMPLES[name](keras)
    x = inputs_of(model)
    if nothing_to_compress(model):
        return "-"
    pruned = trained(prune_low_magnitude(model, ConstantSparsity(SPARSITY, 0, frequency=1)), x)
    plain = strip_pruning(pruned)
    kernels = [weight.variable.numpy() for weight in _weights(plain)]
    zeros = sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)
    difference = float(np.abs(plain.predict(x, verbose=0) - pruned.predict(x, verbose=0)).max())
    return (
        YES if zeros >= SPARSITY - 0.01 and difference < 1e-5 else f"no: {zeros:.0%} zeros, difference {difference:.1g}"
    )


def clustered(name):
    import keras
    import numpy as np

    from tfdistill.clustering import cluster_weights, strip_clustering

    model = SAMPLES[name](keras)
    x = inputs_of(model)
    if nothing_to_compress(model):
        return "-"
    clustered = trained(cluster_weights(model, CLUSTERS, layers=["*"]), x)
    plain = strip_clustering(clustered)
    most = max(len(np.unique(weight.variable.numpy())) for weight in _weights(plain))
    difference = float(np.abs(plain.predict(x, verbose=0) - clustered.predict(x, verbose=0)).max())
    return YES if most <= CLUSTERS and difference < 1e-5 else f"no: {most} values, difference {difference:.1g}"


def quantized_and_exported(name):
    import keras
    import numpy as np

    from tfdistill.export import export_tflite, inspect_tflite
    from tfdistill.quantization import quantize_model

    model = SAMPLES[name](keras)
    x = inputs_of(model)
    if nothing_to_compress(model):
        return "-", "-"
    quantized = trained(quantize_model(model), x)
    before = quantized.predict(x, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            export_tflite(quantized, path, "tflite_int8", output="logit")
        except Exception as error:
            return YES, reason(error)
        after = interpret(path, x)
        layers = inspect_tflite(path)["layers"]
    large = [layer for layer in layers if math.prod(layer["shape"]) >= 1024]
    floats = [layer for layer in large if layer["dtype"] != "int8"]
    step = (max(before.max(), 0.0) - min(before.min(), 0.0)) / 255
    steps = float(np.abs(after - before).max() / step)
    if floats:
        return YES, f"no: {floats[0]['name']} is {floats[0]['dtype']}"
    said = YES if large else "float32: under 1,024 elements"
    return YES, said if steps <= 1.05 else f"{said}, {steps:.1f} steps off"


def interpret(path, x):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return next(iter(runner(x=x).values()))


def nothing_to_compress(model):
    return not _weights(model)


def _weights(model):
    from tfdistill.parametrize import weights_of

    return [weight for weight in weights_of(model) if weight.is_multiplied]


def tfmot_pruned(name):
    from tfdistill._families import tfmot

    def compress(model):
        sparsity = tfmot("Pruning").sparsity.keras
        return sparsity.prune_low_magnitude(model, sparsity.ConstantSparsity(SPARSITY, 0, frequency=1))

    def zeros(model):
        sparsity = tfmot("Pruning").sparsity.keras
        kernels = _kernels(sparsity.strip_pruning(model))
        share = sum((kernel == 0).sum() for kernel in kernels) / max(sum(kernel.size for kernel in kernels), 1)
        return YES if share >= SPARSITY - 0.01 else f"no: {share:.0%} zeros"

    return _with_tfmot(name, compress, zeros, [tfmot("Pruning").sparsity.keras.UpdatePruningStep()])


def tfmot_clustered(name):
    import numpy as np

    from tfdistill._families import tfmot

    def compress(model):
        clustering = tfmot("Clustering").clustering.keras
        return clustering.cluster_weights(model, CLUSTERS, clustering.CentroidInitialization.LINEAR)

    def values(model):
        plain = tfmot("Clustering").clustering.keras.strip_clustering(model)
        most = max((len(np.unique(kernel)) for kernel in _kernels(plain)), default=0)
        return YES if most <= CLUSTERS else f"no: {most} values"

    return _with_tfmot(name, compress, values)


def tfmot_quantized(name):
    import tensorflow as tf

    from tfdistill._families import tfmot

    def convert(model):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.convert()
        return YES

    return _with_tfmot(name, lambda model: tfmot("Quantisation").quantization.keras.quantize_model(model), convert)


def _with_tfmot(name, compress, look, callbacks=()):
    import numpy as np
    import tf_keras

    layer_class = "GroupQueryAttention" if name == "GroupedQueryAttention" else name
    if not hasattr(tf_keras.layers, layer_class):
        return "no such layer in tf_keras"
    model = SAMPLES[name](tf_keras)
    x = inputs_of(model)
    if not _kernels(model):
        return "-"
    target = np.zeros_like(model.predict(x, verbose=0))
    compressed = compress(model)
    compressed.compile("sgd", "mse")
    compressed.fit(x, target, batch_size=len(x), epochs=3, verbose=0, callbacks=list(callbacks))
    return look(compressed)


def _kernels(model):
    """Kernels and tables of a tf_keras model, as arrays."""
    return [
        weight.numpy() for weight in model.trainable_weights if len(weight.shape) >= 2 and "bias" not in weight.name
    ]


def page(rows):
    import keras
    import tensorflow as tf

    from tfdistill._families import tfmot

    columns = ["layer", "prune", "cluster", "QAT", "int8 TFLite", "TFMOT: prune", "TFMOT: cluster", "TFMOT: QAT"]
    lines = ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *rows)]
    reasons = [f"`{name}` ({why})" for name, why in sorted(NO_ROW.items())]
    without = ", ".join(f"`{name}`" for name in WITHOUT_WEIGHTS)
    return f"""# Which layers can be compressed

Written by `python benchmarks/coverage.py`, which runs every layer of `keras.layers` that has weights: TensorFlow
{tf.__version__}, Keras {keras.__version__}, TFMOT {tfmot("The table").__version__}.

- prune: 50% of all kernels and tables are zero after training and `strip_pruning`, and the outputs are the same.
- cluster: kernels and tables have 4 values after training and `strip_clustering`, and the outputs are the same.
- QAT: trains with `quantize_model`.
- int8 TFLite: the file holds all kernels and tables of 1,024 elements and more as int8 and answers within one step of
  the fake-quantised Keras model (a step is 1/255 of the range of the outputs).
- TFMOT: the same on a twin of tf_keras; its QAT converts to TFLite too.
- "-": the layer has neither kernel nor table; what it has (scales, statistics) stays float32.

{chr(10).join(lines)}

No row: {", ".join(reasons)}; and these without weights, which work in any model: {without}.
"""


if __name__ == "__main__":
    main()
