"""Runs a recipe: stage after stage, each written atomically, skipped where nothing changed, continued after a kill."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

import tfdistill
from tfdistill import files
from tfdistill.distribution.workers import lost_workers_told
from tfdistill.errors import UserError
from tfdistill.recipes.environment import describe_environment, peak_memory_bytes, reset_peak_memory
from tfdistill.recipes.manifest import Manifest, file_entries, now
from tfdistill.recipes.progress import Reporter, duration
from tfdistill.recipes.team import CHIEF, Team

RESULT = "result.json"
UNFINISHED = ".unfinished-"  # what a kill leaves of a stage that can go on from there


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: the name of its folder in the run.
        title: what it is called in the progress output.
        settings: everything of the recipe that it depends on, as plain data: a change makes it run again.
        needs: names of the stages whose output it reads.
        work: (run, folder, tell) -> result; writes its files into `folder` and returns its numbers as plain data.
        seed: set for Python, NumPy and Keras before the work begins.
        by: which of several workers do it, see `tfdistill.recipes.team`.
    """

    name: str
    title: str
    settings: dict
    needs: tuple[str, ...]
    work: Callable
    seed: int
    by: str = CHIEF


class Run:
    """A run folder at work: where stages find each other's output.

    Args:
        recipe: the resolved recipe.
        folder: the run folder.
        reporter: tells the user what happens.
        team: what the run runs on; default: what the recipe asks for.

    Attributes:
        workers: the workers that share its stages.
        keys: {stage: what its output depends on, as a sha256}, of the stages so far.
        is_rehearsed: whether the distillations of the recipe are known to work.
    """

    def __init__(self, recipe, folder, reporter, team=None):
        self.recipe = recipe
        self.folder = Path(folder)
        self.reporter = reporter
        self.team = team or Team(recipe)
        self.workers = self.team.workers
        self.keys = {}
        self._stage = None
        self.is_rehearsed = False

    def path(self, *parts):
        """A path inside the run folder."""
        return self.folder.joinpath(*parts)

    def unfinished(self, stage, *inputs):
        """The folder in which a long stage keeps what it has so far, for the next try of the same stage.

        Args:
            stage: the stage.
            *inputs: texts that it depends on beside its key; another one means another folder.
        """
        folder = self._unfinished(stage, *inputs)
        folder.mkdir(exist_ok=True)
        return folder

    def _unfinished(self, stage, *inputs):
        digest = hashlib.sha256("\n".join([self.keys[stage], *inputs]).encode()).hexdigest()
        folder = self.path(f"{UNFINISHED}{stage}-{digest[:10]}")
        if self.workers.is_chief:
            for stale in self.folder.glob(f"{UNFINISHED}{stage}-*"):
                if stale != folder:
                    files.remove(stale)
        return folder

    def training_state(self, number=0):
        """The file in which a training of the stage that is worked on keeps its state, see `tfdistill.training`; else `None`.

        Args:
            number: which training of the stage, from 0.
        """
        return self._stage and self._unfinished(self._stage.name) / f"training_{number}.npz"

    @contextlib.contextmanager
    def working_on(self, stage):
        """While a stage is worked on; yields the folder for its files, which of other workers than the chief is thrown away."""
        self._stage = stage
        if self.workers.is_chief:
            place = files.atomic_folder(self.path(stage.name))
        else:
            place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with place as folder, self.team.scope(stage.by):
            yield Path(folder)

    def result(self, stage):
        """The numbers that a finished stage returned."""
        return json.loads(self.path(stage, RESULT).read_text(encoding="utf-8"))


def run(recipe, *, output="saved_models", quiet=False, console=None):
    """Runs `recipe` and returns the run folder, `output/<recipe>/<run>`. Of a recipe with `k_fold`, every fold has a run.

    A stage whose settings and inputs are unchanged is not run again, be it in this run folder or in another run in
    `output`, of this recipe or another. Every stage begins from its own seed, so a run that was killed and continued ends
    with the numbers of one that was not.

    Args:
        recipe: a `tfdistill.recipes.schema.Recipe`, from `load_recipe`.
        output: the folder of all runs.
        quiet: print the final table only.
        console: a `rich.console.Console`; standard output by default.

    Raises:
        UserError: for whatever the user can mend.

    >>> from tfdistill.recipes.loading import load_recipe
    >>> run(load_recipe("quickstart"))
    PosixPath('saved_models/quickstart/...')
    """
    from tfdistill.recipes.cross_validation import cross_validate, is_cross_validation

    team = Team(recipe)
    if not team.workers.is_chief:
        quiet, console = True, Console(file=io.StringIO())
    reporter = Reporter(quiet, console)
    folder = Path(output) / recipe.name / recipe.run_name
    if is_cross_validation(recipe):
        return cross_validate(
            recipe, lambda fold: run(fold, output=output, quiet=quiet, console=console), folder, reporter
        )
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    job = Run(recipe, folder, reporter, team)
    with lost_workers_told(team.workers.count):
        with _locked(folder) if team.workers.is_chief else contextlib.nullcontext():
            _run_stages(job, started)
            team.workers.wait()
    return folder


def _run_stages(job, started):
    """Brings all stages of a run up to date."""
    from tfdistill.recipes.stages import plan

    recipe, folder, manifest = job.recipe, job.folder, None
    if job.workers.is_chief:
        for leftover in folder.glob(".partial-*"):
            files.remove(leftover)
        manifest = Manifest.start(folder, recipe, describe_environment())
        manifest.write()
    job.team.meet(folder)
    stages = plan(recipe)
    job.reporter.say(f"{recipe.name}: {len(stages)} stages, in {folder}")
    for position, stage in enumerate(stages, start=1):
        key = job.keys[stage.name] = _key(stage, job.keys)
        is_due = job.workers.is_chief and not _is_up_to_date(job, manifest, stage, key, position, len(stages))
        if job.workers.from_chief(is_due)[0] and (job.workers.is_chief or stage.by != CHIEF):
            _run_stage(job, manifest, stage, key, position, len(stages))
    if job.workers.is_chief:
        for leftover in folder.glob(f"{UNFINISHED}*"):
            files.remove(leftover)
        _write_results(job, manifest, stages, started)


def _is_up_to_date(job, manifest, stage, key, position, count):
    """Whether a stage's folder is there as it should be: left as it is, or taken from another run."""
    done = manifest.stage(stage.name)
    if done and done["key"] == key and manifest.is_intact(done):
        job.reporter.say(f"[{position}/{count}] {stage.title}  unchanged, not run again")
        return True
    reused = _take_from_another_run(job.folder, stage.name, key)
    if reused:
        manifest.add_stage({**reused, "reused": True})
        job.reporter.say(f"[{position}/{count}] {stage.title}  unchanged, taken from another run")
    return bool(reused)


def _run_stage(job, manifest, stage, key, position, count):
    """Works out a stage."""
    with job.reporter.stage(stage.title, position, count) as tell:
        import keras

        if stage.needs and job.workers.is_chief and not job.is_rehearsed:
            from tfdistill.recipes.stages.rehearsal import rehearse

            rehearse(job)
            job.is_rehearsed = True
        keras.utils.set_random_seed(stage.seed)
        reset_peak_memory()
        began = time.perf_counter()
        with job.working_on(stage) as folder:
            with job.reporter.showing_warnings():
                result = stage.work(job, folder, tell)
            (folder / RESULT).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if not job.workers.is_chief:
            return
        manifest.add_stage(
            {
                "name": stage.name,
                "key": key,
                "seconds": round(time.perf_counter() - began, 3),
                "peak_memory_bytes": peak_memory_bytes(),
                "reused": False,
                "finished": now(),
                "files": file_entries(job.folder, job.path(stage.name)),
            }
        )
        for leftover in job.folder.glob(f"{UNFINISHED}{stage.name}-*"):
            files.remove(leftover)


def _key(stage, keys):
    """What a stage's output depends on, as a sha256: the package, its settings and the keys of what it reads."""
    content = {
        "tfdistill": tfdistill.__version__,
        "stage": stage.name,
        "settings": stage.settings,
        "seed": stage.seed,
        "needs": {name: keys[name] for name in stage.needs},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _take_from_another_run(folder, name, key):
    """Links a finished stage with this key from another run, of any recipe; returns its record, or `None`."""
    for path in sorted(folder.parent.parent.glob("*/*/manifest.json")):
        if path.parent == folder:
            continue
        try:
            other = Manifest.read(path.parent)
        except UserError:
            continue
        record = other.stage(name)
        if not record or record["key"] != key or not other.is_intact(record):
            continue
        with files.atomic_folder(folder / name) as temporary:
            shutil.copytree(path.parent / name, temporary, copy_function=_link_or_copy, dirs_exist_ok=True)
        return record
    return None


def _link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write_results(job, manifest, stages, started):
    """metrics.json, report.html and the table in the terminal."""
    from tfdistill.recipes.report import summary_table, write_report
    from tfdistill.recipes.results import collect

    metrics = collect(job)
    files.write_json(job.path("metrics.json"), metrics)
    order = {stage.name: number for number, stage in enumerate(stages)}
    manifest.record["stages"] = sorted(
        (stage for stage in manifest.record["stages"] if stage["name"] in order), key=lambda stage: order[stage["name"]]
    )
    manifest.finish(["metrics.json"])
    report = write_report(job.folder)
    manifest.finish(["metrics.json", "report.html"])
    job.reporter.console.print(summary_table(metrics))
    job.reporter.say(f"finished in {duration(time.perf_counter() - started)}")
    job.reporter.console.print(f"report: {report}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def _locked(folder):
    """Keeps a second process from working on the same run at the same time."""
    try:
        import fcntl
    except ImportError:  # not on Windows; runs there rely on the user not starting the same one twice
        yield
        return
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{folder}: another tfdistill is working on this very run. Wait for it, or stop it, then try again."
            ) from None
        yield
