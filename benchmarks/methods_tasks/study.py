"""Tunes and measures methods, and keeps what came of it in a file that grows by one training at a time."""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

from tfdistill import files
from tfdistill.recipes.environment import describe_environment
from tfdistill.teachers import CachedTeacher

TUNING_SEED = 101
TEST_SEEDS = (1, 2, 3, 4, 5)
ALONE = "alone"
SOFT_TARGETS = CachedTeacher("teacher_logits")


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train the student.

    Attributes:
        name: how it is called in tables.
        grid: {setting: values}; all combinations are tried.
        training: (settings, steps an epoch) -> `Training`.
        baseline: for a method that trains for more steps: the student alone that trains for as many.
    """

    name: str
    grid: dict[str, tuple]
    training: Callable
    baseline: str | None = None

    def trials(self):
        """The settings to try, one dict a trial."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained on, and with which losses; without `losses` the student is trained alone.

    Attributes:
        losses, weights, share: `distillation_losses`, `distillation_loss_weights`, `student_loss_weight` of a Distiller.
        teacher: a `CachedTeacher`, or an `Ensemble` of such.
        rows: which rows an epoch has, by a name of the task's.
        label_smoothing: of the hard loss.
        epochs: a factor of the task's epochs.
    """

    losses: object = None
    weights: object = None
    share: object = 0.1
    teacher: object = SOFT_TARGETS
    rows: str = "labelled"
    label_smoothing: float = 0.0
    epochs: int = 1

    @property
    def columns(self):
        """The columns that the teacher reads."""
        return () if self.losses is None else self.teacher.columns


class Results:
    """The file of results of one task.

    {"task", "environment", "setting": {...}, "references": {name: metrics}, "methods": {name: {"trials": [...],
    "tests": [...]}}}; a trial has settings, validation (metrics) and seconds, a test settings, seed, test (metrics) and
    seconds.
    """

    def __init__(self, path, task):
        self.path = Path(path)
        empty = {"task": task, "setting": {}, "references": {}, "methods": {}}
        self.content = json.loads(self.path.read_text()) if self.path.exists() else empty

    def of(self, method):
        return self.content["methods"].setdefault(method.name, {"trials": [], "tests": []})

    def write(self):
        self.content["environment"] = environment()
        files.write_json(self.path, self.content)


class Study:
    """Tunes and tests methods on a task, as long as there is time.

    Args:
        task: has `metric` (its name; higher is better), `setting`, `references` and
            `train(method, settings, seed, part) -> metrics` of the part "validation" or "test".
        results: `Results`.
        minutes: no training is started after so many.
    """

    def __init__(self, task, results, minutes):
        self.task, self.results = task, results
        self.end = time.monotonic() + 60 * minutes
        results.content |= {"setting": task.setting, "references": task.references, "metric": task.metric}
        results.write()

    def measure(self, methods):
        """Tunes every method where that is not done, then trains it with each of the test seeds."""
        for method in methods:
            record = self.results.of(method)
            record["trials"] = [trial for trial in record["trials"] if trial["settings"] in method.trials()]
            for settings in method.trials():
                if not any(trial["settings"] == settings for trial in record["trials"]):
                    self._train(method, settings, TUNING_SEED, "validation", record["trials"])
            best = max(record["trials"], key=lambda trial: trial["validation"][self.task.metric])["settings"]
            record["tests"] = [test for test in record["tests"] if test["settings"] == best]
            for seed in TEST_SEEDS:
                if not any(test["seed"] == seed for test in record["tests"]):
                    self._train(method, best, seed, "test", record["tests"])

    def _train(self, method, settings, seed, part, records):
        if time.monotonic() > self.end:
            raise SystemExit("The time is up; the same command goes on from here.")
        import keras

        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        started = time.perf_counter()
        metrics = self.task.train(method, settings, seed, part)
        seconds = round(time.perf_counter() - started, 2)
        records.append({"settings": settings, "seed": seed, part: metrics, "seconds": seconds})
        self.results.write()
        values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{method.name} {settings} seed {seed}: {part} {values}, {seconds:.1f} s", flush=True)


def environment():
    """Versions and machine."""
    import sklearn

    machine = describe_environment()
    versions = {name: machine["versions"][name] for name in ("tfdistill", "tensorflow", "keras")}
    return {
        **versions,
        "scikit-learn": sklearn.__version__,
        **{name: machine[name] for name in ("python", "processor", "cores")},
    }
