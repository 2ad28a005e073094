"""What each format of an exported student is: bytes, bytes gzipped, quality, difference to Keras, latency.

    python benchmarks/export_formats.py saved_models/movielens_1m_ranking/RUN

RUN is a finished run. Its distilled student of the first seed is exported in every format, with logits, and measured on
the run's whole test part. Prints a table in Markdown; the machine and the versions stand below it.
"""

import argparse
import tempfile
from pathlib import Path

from tfdistill._tensorflow import import_quietly

CALIBRATION_EXAMPLES, SEED, LATENCY_RUNS = 4096, 1, 3000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--model", type=Path, help="a .keras file in place of the run's student")
    arguments = parser.parse_args()
    import_quietly()
    import keras
    import numpy as np

    import tfdistill.models
    from tfdistill.data import Dataset
    from tfdistill.evaluation import click_metrics, measure_cost, open_artifact
    from tfdistill.export import FORMATS, describe, export_tflite
    from tfdistill.recipes.environment import describe_environment

    assert tfdistill.models.mlp  # its layers have to be known when the file is read
    dataset = Dataset.load(arguments.run / "data" / "dataset.npz")
    model = keras.models.load_model(arguments.model or arguments.run / "distilled_seed1" / "model.keras")
    test, train = dataset.rows("test"), dataset.rows("train")
    inputs, label, user = dataset.inputs(test), dataset.label[test], dataset.user_row[test]
    chosen = np.random.default_rng(SEED).choice(train, min(CALIBRATION_EXAMPLES, len(train)), replace=False)
    exact = 1 / (1 + np.exp(-model.predict(inputs, batch_size=8192, verbose=0)[:, 0].astype(np.float64)))
    print("| format | bytes | gzip | AUC | largest difference | mean difference | p50 µs |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = Path(folder) / f"{name}.tflite"
            export_tflite(model, path, name, output="logit", calibration=dataset.inputs(chosen))
            contents, probability = describe(path), open_artifact(path).predict(inputs)
            auc = click_metrics(label, probability, user, 10)["auc"]
            difference = np.abs(probability - exact)
            latency = measure_cost(path, inputs, latency_runs=LATENCY_RUNS)["latency_ms"]["p50"]
            print(
                f"| {name} | {contents['bytes']:,} | {contents['gzip_bytes']:,} | {auc:.5f} | {difference.max():.5f} |"
                f" {difference.mean():.6f} | {1000 * latency:.1f} |",
                flush=True,
            )
    machine = describe_environment()
    versions = ", ".join(
        f"{package} {machine['versions'][package]}" for package in ("tensorflow", "keras", "ai-edge-litert")
    )
    print(
        f"\n{model.name}, {model.count_params():,} parameters, {len(label):,} test rows. {machine['processor']}, {versions}"
    )


if __name__ == "__main__":
    main()
