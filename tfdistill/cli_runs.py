"""Run folders as the command line sees them: which one is meant, what is in it, and is it still what was written."""

import sys
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from tfdistill.cli_console import console
from tfdistill.errors import UserError
from tfdistill.recipes.manifest import Manifest, file_entries
from tfdistill.recipes.report import formatting
from tfdistill.recipes.run_files import MANIFEST, METRICS, fault, read_run_file

CHECK_FAILED = 1
VERSIONS_SHOWN = ("tfdistill", "tensorflow", "keras", "ai-edge-litert")


def is_run(path):
    """Whether a path is a run folder."""
    return (Path(path) / MANIFEST).is_file()


def runs_in(folder):
    """The run folders directly below a folder, by name."""
    return sorted(path.parent for path in Path(folder).glob(f"*/{MANIFEST}"))


def find_finished_run(run, output):
    """Returns the run folder that `run` means: itself, or the newest finished one of a recipe's.

    Args:
        run: a run folder, the folder of a recipe's runs, or a recipe's name (".yaml" may stand behind it).
        output: the folder of all runs, where names are looked up.

    Raises:
        UserError: there is none.
    """
    if is_run(run):
        return Path(run)
    folder = Path(run) if runs_in(run) else Path(output) / Path(run).name.removesuffix(".yaml").removesuffix(".yml")
    finished = {}
    for candidate in runs_in(folder):
        record = Manifest.read(candidate).record
        if record.get("status") == "complete":
            finished[candidate] = record.get("finished") or ""
    if finished:
        return max(finished, key=finished.get)
    if runs_in(folder):
        raise UserError(f"{folder}: no run is finished yet. Run the recipe again to continue: tfdistill run {run}.")
    known = sorted({path.parent.parent.name for path in Path(output).glob(f"*/*/{MANIFEST}")})
    there = f"Recipes with runs there: {', '.join(known)}" if known else "There are no runs there"
    raise UserError(f"{run}: neither a run folder nor a recipe with runs in {output}. {there}.")


def renew_report(folder):
    """Writes the report of a run anew and its entry in the manifest with it; returns the report's path."""
    from tfdistill.recipes.report import write_report

    manifest = Manifest.read(folder)
    report = Path(write_report(folder))
    (entry,) = file_entries(Path(folder), report)
    listed = manifest.record.get("files", [])
    manifest.record["files"] = [other for other in listed if other["path"] != entry["path"]] + [entry]
    manifest.write()
    return report


def inspect_run(folder):
    """Prints what a run consists of and checks every file; returns the exit code, 1 where a file is not as written."""
    folder = Path(folder)
    record = Manifest.read(folder).record
    out = console()
    out.print(Text.assemble((f"{record.get('recipe')}", "bold"), f", run {record.get('run')}, {record.get('status')}"))
    out.print(f"started {record.get('created')}, finished {record.get('finished') or formatting.MISSING}")
    environment = record.get("environment", {})
    versions = environment.get("versions", {})
    shown = [f"Python {environment.get('python')}", *(f"{name} {versions.get(name)}" for name in VERSIONS_SHOWN)]
    out.print(", ".join(shown))
    out.print(f"{environment.get('processor')}, {environment.get('cores')} cores, {environment.get('platform')}\n")

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("stage", no_wrap=True)
    for title in ("time", "peak memory", "files", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    problems = []
    for stage in [*record.get("stages", []), {"name": "(the run)", "files": record.get("files", [])}]:
        wrong = [(entry["path"], wrong) for entry in stage["files"] if (wrong := fault(folder, entry))]
        problems += wrong
        state = f"{len(wrong)} not as written" if wrong else "taken from another run" if stage.get("reused") else ""
        table.add_row(
            Text(stage["name"]),
            formatting.seconds(stage.get("seconds")) if "seconds" in stage else "",
            formatting.size(stage.get("peak_memory_bytes")) if "seconds" in stage else "",
            str(len(stage["files"])),
            formatting.size(sum(entry["bytes"] for entry in stage["files"])),
            Text(state, style="bold red" if wrong else ""),
        )
    out.print(table)
    count = sum(len(stage["files"]) for stage in record.get("stages", [])) + len(record.get("files", []))
    if not problems:
        out.print(f"\nall {count} files are as the manifest says (sha256)")
        return 0
    sys.stdout.flush()
    for path, wrong in problems:
        print(f"{folder / path}: {wrong}", file=sys.stderr)
    print(f"{len(problems)} of {count} files are not as the manifest says", file=sys.stderr)
    return CHECK_FAILED


def artifacts_of(folder):
    """Returns [(label, path)] of the exported files of a finished run that lie in its folder."""
    metrics = read_run_file(folder, METRICS)
    found = [(entry["label"], Path(folder) / entry["path"]) for entry in metrics["artifacts"]]
    # A teacher that came from outside has an absolute path and inputs of its own.
    return [(label, path) for label, path in found if path.is_relative_to(folder) and path.exists()]


def inputs_of_test_part(folder):
    """The inputs of the rows of a run's test part; `None` where its data are gone."""
    from tfdistill.recipes.stages.data import FILE

    path = Path(folder) / "data" / FILE
    if not path.is_file():
        return None
    from tfdistill.data import Dataset

    dataset = Dataset.load(path)
    return dataset.inputs(dataset.rows("test"))
