"""Tunes the student alone and the distilled student of a recipe with equal budgets, on validation AUC only.

Both get as many trials, over what each can be tuned in. The teacher and its soft targets come from a finished run
of the recipe; a seed of its own keeps the reported seeds out of the search. The settings that won are those in the recipe.

    python benchmarks/tune_students.py recipes/movielens_1m_ranking.yaml saved_models/movielens_1m_ranking/RUN
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

from tfdistill._tensorflow import import_quietly

SEED = 101
GRIDS = {
    "alone": {
        "student.train.learning_rate": (0.003, 0.006, 0.012, 0.024),
        "student.train.embedding_l2": (0.001, 0.003, 0.01),
    },
    "distilled": {
        "distill.train.learning_rate": (0.003, 0.006, 0.012, 0.024),
        "distill.train.embedding_l2": (0.0, 0.0001, 0.001),
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="the recipe file")
    parser.add_argument("run", type=Path, help="a run folder with data and soft targets of that recipe")
    parser.add_argument("--role", choices=sorted(GRIDS), action="append", help="default: both")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="as in tfdistill run")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/tune_<recipe>.json")
    arguments = parser.parse_args()
    import_quietly()
    import keras

    from tfdistill.recipes.loading import load_recipe
    from tfdistill.recipes.progress import Reporter
    from tfdistill.recipes.runner import Run
    from tfdistill.recipes.stages import students

    name = load_recipe(arguments.recipe, arguments.set).name
    output = arguments.output or Path(f"benchmarks/results/tune_{name}.json")
    work = {"alone": students.alone_work(SEED), "distilled": students.distilled_work(SEED)}
    results = json.loads(output.read_text()) if output.exists() else {}
    for role in arguments.role or GRIDS:
        grid, trials = GRIDS[role], []
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            recipe = load_recipe(
                arguments.recipe, [*arguments.set, *(f"{key}={value}" for key, value in settings.items())]
            )
            keras.utils.set_random_seed(SEED)
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                result = work[role](
                    Run(recipe, arguments.run, Reporter(quiet=True)), Path(folder), lambda *a, **k: None
                )
            best = max(result["epochs"], key=lambda epoch: epoch["validation_auc"])
            seconds = time.perf_counter() - started
            trials.append({**settings, "validation_auc": best["validation_auc"], "epoch": best["epoch"]})
            print(
                f"{role}: {settings} -> validation AUC {best['validation_auc']:.5f} at epoch {best['epoch']}, {seconds:.0f} s"
            )
        results[role] = sorted(trials, key=lambda trial: -trial["validation_auc"])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
