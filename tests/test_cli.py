"""The command line: what it prints, what it returns, and one line for every mistake that the user can mend."""

import errno
import json
import os
import subprocess
import sys

import pytest

from tfdistill import cli
from tfdistill.errors import UserError
from tfdistill.recipes import catalogue, runner
from tfdistill.recipes.loading import load_recipe

RECIPE = """\
# a comment that stays
description: a recipe for tests
data: {source: synthetic}
teacher: {model: {kind: dcn_v2}}
student: {train: {learning_rate: 1e-5}}
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A recipe file in the current folder, which is also the only built-in recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setattr("tfdistill._tensorflow.quiet_when_imported", lambda: None)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    monkeypatch.setattr(catalogue, "library_folder", lambda: tmp_path)
    return "mine.yaml"


@pytest.fixture
def run_raises(monkeypatch):
    """Puts a failing runner in place of the real one."""

    def fail_with(error):
        def run(*args, **kwargs):
            raise error

        monkeypatch.setattr(runner, "run", run)

    return fail_with


def in_a_new_process(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = """
import sys
from tfdistill.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
heavy = {"tensorflow", "keras", "pandas", "numpy", "pydantic", "matplotlib", "rich", "yaml", "jinja2"}
print("imported:", sorted(heavy & set(sys.modules)))
sys.exit(code)
"""
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], []])
def test_help_and_version_import_nothing_heavy(arguments):
    answer = in_a_new_process(*arguments)
    assert answer.stdout.endswith("imported: []\n"), answer.stderr


def test_a_recipe_is_validated_without_tensorflow(mine):
    answer = in_a_new_process("validate", mine)
    assert answer.returncode == 0, answer.stderr
    imported = answer.stdout.splitlines()[-1]
    assert not any(package in imported for package in ("tensorflow", "keras", "pandas", "matplotlib"))


def test_the_module_runs_like_the_command():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tfdistill", "--version"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.stdout.startswith("tfdistill 0.")


@pytest.mark.parametrize("command", ["run", "validate", "recipes", "inspect", "benchmark", "report"])
def test_every_command_has_help_with_an_example_of_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"examples:\n  tfdistill {command}" in capsys.readouterr().out


def test_no_command_prints_help_and_is_a_mistake(capsys):
    assert cli.main([]) == 2
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "tfdistill: error: unknown command 'rnu'. Did you mean 'run'? Commands: run, validate, recipes"),
        (["xyzzy"], "tfdistill: error: unknown command 'xyzzy'. Commands: run,"),
        (["benchmark", "x", "--runs", "0"], "argument --runs: expected a whole number of at least 1, received '0'"),
        (["benchmark", "x", "--threads", "two"], "received 'two'"),
        (["run"], "the following arguments are required: RECIPE"),
        (["run", "x", "--quite"], "unrecognized arguments: --quite"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(arguments, told, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_run_hands_the_recipe_its_overrides_and_the_folder_to_the_runner(mine, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(runner, "run", lambda recipe, **settings: calls.append((recipe, settings)) or tmp_path)
    assert cli.main(["run", mine, "--set", "seed=5", "--set", "evaluate.threads=2", "--output", "out", "--quiet"]) == 0
    ((recipe, settings),) = calls
    assert (recipe.name, recipe.seed, recipe.evaluate.threads) == ("mine", 5, 2)
    assert {key: str(value) for key, value in settings.items()} == {"output": "out", "quiet": "True"}


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("data.path: no such file"), 2, "tfdistill: error: data.path: no such file"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to continue"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/model.keras"),
            2,
            "tfdistill: error: out/model.keras: the disk is full. Free some space and run the same command again to "
            "continue.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/.partial", None, "out/teacher"),
            2,
            "tfdistill: error: out/teacher: the disk is full. Free some space and run the same command again to "
            "continue.",
        ),
        (
            RuntimeError("UNKNOWN: out/variables; No space left on device [Op:SaveV2]"),
            2,
            "tfdistill: error: the disk is full. Free some space and run the same command again to continue.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "saved_models"),
            2,
            "tfdistill: error: saved_models: Permission denied.",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 2, "tfdistill: error: x: Is a directory."),
        (OSError("the network is away"), 2, "tfdistill: error: OSError: the network is away"),
        (
            MemoryError("Unable to allocate 3 GiB"),
            2,
            "tfdistill: error: out of memory (Unable to allocate 3 GiB). Smaller batch sizes "
            "(--set student.train.batch_size=512) need less.",
        ),
        (
            MemoryError(),
            2,
            "tfdistill: error: out of memory. Smaller batch sizes (--set student.train.batch_size=512) need less.",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_no_traceback(mine, run_raises, capsys, error, code, told):
    run_raises(error)
    assert cli.main(["run", mine]) == code
    assert capsys.readouterr().err == f"{told}\n"


def test_a_bug_keeps_its_traceback(mine, run_raises):
    run_raises(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["run", mine])


def test_a_reader_that_goes_away_is_no_mistake(mine, run_raises, capfd, monkeypatch):
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)
    run_raises(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert cli.main(["run", mine]) == 141
    assert capfd.readouterr().err == ""


def test_validate_says_ok_with_the_name_of_the_run(mine, capsys):
    assert cli.main(["validate", mine]) == 0
    assert capsys.readouterr().out == f"ok: mine (run {load_recipe(mine).run_name})\n"


def test_validate_tells_a_mistake_in_one_line(mine, capsys):
    assert cli.main(["validate", mine, "--set", "data.user=3"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tfdistill: error: --set data.user: unknown key. Did you mean 'users'?")
    assert told.count("\n") == 1


def test_the_resolved_recipe_is_a_recipe_for_the_same_run(mine, capsys, tmp_path):
    assert cli.main(["validate", mine, "--set", "seed=7", "--resolved"]) == 0
    (tmp_path / "resolved.yaml").write_text(capsys.readouterr().out)
    assert load_recipe("resolved.yaml").run_name == load_recipe(mine, ["seed=7"]).run_name


def test_recipes_lists_name_and_description(mine, capsys):
    assert cli.main(["recipes"]) == 0
    assert capsys.readouterr().out.split() == ["mine", "a", "recipe", "for", "tests"]


def test_recipes_with_a_name_prints_the_file_as_it_is(mine, capsys):
    assert cli.main(["recipes", "mine"]) == 0
    assert capsys.readouterr().out == RECIPE
    assert cli.main(["recipes", "mien"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_recipes_explains_every_key(capsys):
    assert cli.main(["recipes", "--keys"]) == 0
    out = capsys.readouterr().out
    assert "distill.train.learning_rate  a number above 0, default" in out
    assert "distill.losses[].temperature  a number above 0, or a mapping with kind: one of 'constant'" in out
    assert "data.source  one of 'synthetic', 'movielens_1m', 'table', 'mnist', required\n" in out
    assert "\x1b" not in out


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """Makes a small finished (or running) run folder below saved_models/mine."""
    from tfdistill import files
    from tfdistill.recipes.manifest import file_entries

    monkeypatch.chdir(tmp_path)

    def make(name="aaaa000001", status="complete", finished="2026-01-01T00:00:00+00:00"):
        folder = tmp_path / "saved_models" / "mine" / name
        (folder / "teacher").mkdir(parents=True)
        (folder / "teacher" / "model.keras").write_bytes(b"weights")
        (folder / "report.html").write_text("old")
        files.write_json(folder / "metrics.json", {"format": 1, "artifacts": []})
        record = {
            "format": 1,
            "recipe": "mine",
            "run": name,
            "status": status,
            "created": "2026-01-01T00:00:00+00:00",
            "finished": finished,
            "environment": {"python": "3.11.7", "versions": {"tensorflow": "2.21.0"}, "processor": "a [red] chip"},
            "stages": [
                {
                    "name": "teacher",
                    "key": "k",
                    "seconds": 75.0,
                    "peak_memory_bytes": 1_300_000_000,
                    "reused": True,
                    "files": file_entries(folder, folder / "teacher"),
                }
            ],
            "files": [*file_entries(folder, folder / "report.html"), *file_entries(folder, folder / "metrics.json")],
        }
        files.write_json(folder / "manifest.json", record)
        return folder

    return make


def test_inspecting_a_run_shows_its_stages_and_that_all_files_are_as_written(run_folder, capsys):
    assert cli.main(["inspect", str(run_folder())]) == 0
    out = capsys.readouterr().out
    assert "mine, run aaaa000001, complete" in out and "a [red] chip" in out
    assert "teacher 1 min 15 s 1.30 GB 1 7 B taken from another run" in " ".join(out.split())
    assert "all 3 files are as the manifest says (sha256)" in out


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: file.write_bytes(b"weighty"), "expected sha256 "),
        (lambda file: file.write_bytes(b"short"), "expected 7 bytes, found 5"),
        (lambda file: file.unlink(), "missing"),
    ],
)
def test_inspecting_a_run_tells_a_file_that_is_not_as_written(run_folder, capsys, damage, told):
    folder = run_folder()
    damage(folder / "teacher" / "model.keras")
    assert cli.main(["inspect", str(folder)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{folder / 'teacher' / 'model.keras'}: {told}")
    assert printed.err.endswith("1 of 3 files are not as the manifest says\n")
    assert "1 not as written" in printed.out


def test_inspecting_a_folder_of_runs_names_the_runs(run_folder, capsys):
    folder = run_folder()
    assert cli.main(["inspect", str(folder.parent)]) == 2
    assert str(folder) in capsys.readouterr().err


@pytest.fixture
def reports(monkeypatch):
    """Collects the folders whose report is written, in place of writing it."""
    written = []

    def write_report(folder):
        written.append(folder)
        (folder / "report.html").write_text("new report")
        return folder / "report.html"

    monkeypatch.setattr("tfdistill.recipes.report.write_report", write_report)
    return written


def test_report_writes_the_report_of_a_run_folder_and_keeps_the_manifest_true(run_folder, reports, capsys):
    folder = run_folder()
    assert cli.main(["report", str(folder)]) == 0
    assert reports == [folder]
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert cli.main(["inspect", str(folder)]) == 0


@pytest.mark.parametrize("name", ["mine", "mine.yaml", "recipes/mine.yaml", "saved_models/mine"])
def test_report_of_a_recipe_is_that_of_its_newest_finished_run(run_folder, reports, name):
    run_folder("cccc000001", finished="2026-01-01T00:00:00+00:00")
    newest = run_folder("aaaa000002", finished="2026-01-02T00:00:00+00:00")
    run_folder("bbbb000003", status="running", finished=None)
    assert cli.main(["report", name]) == 0
    assert [folder.resolve() for folder in reports] == [newest]


def test_report_of_an_unfinished_or_unknown_recipe_says_what_there_is(run_folder, reports, capsys):
    run_folder(status="running", finished=None)
    assert cli.main(["report", "mine"]) == 2
    assert "no run is finished yet" in capsys.readouterr().err
    assert cli.main(["report", "other"]) == 2
    assert "other: neither a run folder nor a recipe with runs in saved_models. Recipes with runs there: mine." in (
        capsys.readouterr().err
    )
    assert cli.main(["report", "other", "--output", "elsewhere"]) == 2
    assert "There are no runs there." in capsys.readouterr().err
    assert reports == []


def test_report_opens_in_the_browser_when_asked(run_folder, reports, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    folder = run_folder()
    assert cli.main(["report", str(folder), "--open"]) == 0
    assert opened == [(folder / "report.html").as_uri()]


def test_inspect_of_what_is_not_there_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", "nothing.tflite"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tfdistill: error: nothing.tflite: ") and told.count("\n") == 1


@pytest.fixture
def described(tmp_path, monkeypatch):
    """A model file, and in place of reading it a description of what is in it."""
    (tmp_path / "m.tflite").write_bytes(b"x")
    tensors = [{"name": "user", "dtype": "int32", "shape": [None]}]
    contents = {
        "format": "tflite",
        "path": "m.tflite",
        "bytes": 98_430,
        "gzip_bytes": 51_000,
        "parameters": 92_481,
        "flops": None,
        "signatures": [{"name": "serve", "inputs": tensors, "outputs": [{**tensors[0], "name": "probability"}]}],
        "operators": {"FULLY_CONNECTED": 3, "GATHER": 2},
        "layers": [
            {"name": "embed_user/[rows]", "dtype": "int8", "shape": [6041, 8], "bytes": 75_000},
            {"name": "hidden_1/kernel", "dtype": "int8", "shape": [64, 32], "bytes": 25_000},
        ],
        "foreign_operators": ["FlexMatMul"],
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfdistill._tensorflow.quiet_when_imported", lambda: None)
    monkeypatch.setattr("tfdistill.export.describe", lambda path: contents, raising=False)
    return "m.tflite"


def test_inspecting_a_file_shows_zeros_and_distinct_values_where_they_are_known(described, capsys):
    from tfdistill import export

    for layer in export.describe(described)["layers"]:
        layer |= {"zeros": 0.8, "distinct": 1600}
    assert cli.main(["inspect", described]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "name dtype shape bytes zeros distinct share" in lines
    assert "hidden_1/kernel int8 [64, 32] 25.0 KB 80.0% 1,600 25.0%" in lines


def test_inspecting_a_file_shows_sizes_signatures_operators_and_weights(described, capsys):
    assert cli.main(["inspect", described]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:2] == [
        "m.tflite tflite",
        "98.4 KB (98,430 bytes), 51.0 KB gzipped, 92,481 parameters, \N{EN DASH} operations an example",
    ]
    assert "input user int32 [any]" in lines and "output probability int32 [any]" in lines
    assert "operators FULLY_CONNECTED 3, GATHER 2" in lines
    assert "not run by a plain TFLite runtime: FlexMatMul" in lines
    assert "embed_user/[rows] int8 [6041, 8] 75.0 KB 75.0%" in lines
    assert "\x1b" not in out


COST = {
    "latency_ms": {"p50": 0.0084, "p95": 0.0102, "p99": 0.0124, "batch": 1, "threads": 2, "runs": 30},
    "throughput": {"examples_per_second": 459_262.0, "batch": 256, "threads": 2},
    "peak_memory_bytes": 5_783_552,
}


@pytest.fixture
def measured(monkeypatch):
    """Collects what is measured, in place of measuring it."""
    calls = []

    def measure_cost(path, inputs, threads, latency_runs):
        calls.append((str(path), inputs, threads, latency_runs))
        return COST

    monkeypatch.setattr("tfdistill._tensorflow.quiet_when_imported", lambda: None)
    monkeypatch.setattr("tfdistill.evaluation.measure_cost", measure_cost, raising=False)
    monkeypatch.setattr("tfdistill.cli_inputs.random_inputs", lambda path, contents: ({"user": "random"}, []))
    return calls


def test_benchmark_of_a_file_measures_it_on_random_inputs_and_prints_a_table(described, measured, capsys):
    assert cli.main(["benchmark", described, "--threads", "2", "--runs", "30"]) == 0
    assert measured == [("m.tflite", {"user": "random"}, 2, 30)]
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "m.tflite 1 B 0.00840 0.0102 0.0124 459 K 5.78 MB" in lines
    assert "latency of one example over 30 runs; throughput at batch 256; 2 threads" in lines


def test_benchmark_prints_nothing_but_json_when_asked(described, measured, capsys):
    assert cli.main(["benchmark", described, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["artifacts"] == [{"label": "m.tflite", "path": "m.tflite", **COST}]
    assert content["environment"]["cores"] == os.cpu_count()


@pytest.fixture
def run_with_artifacts(run_folder, tmp_path):
    """A finished run with one exported file, one that is gone, and a teacher from outside."""
    from tfdistill import files

    folder = run_folder()
    (folder / "export").mkdir()
    (folder / "export" / "a.tflite").write_bytes(b"x")
    outside = tmp_path / "outside.tflite"
    outside.write_bytes(b"x")
    paths = {"teacher, as loaded": str(outside), "student": "export/a.tflite", "gone": "export/b.tflite"}
    artifacts = [{"label": label, "path": path} for label, path in paths.items()]
    files.write_json(folder / "metrics.json", {"format": 1, "artifacts": artifacts})
    return folder


def test_benchmark_of_a_run_measures_its_files_on_rows_of_its_test_part(run_with_artifacts, measured, monkeypatch):
    monkeypatch.setattr("tfdistill.cli_runs.inputs_of_test_part", lambda folder: {"user": "recorded"})
    assert cli.main(["benchmark", str(run_with_artifacts)]) == 0
    assert measured == [(str(run_with_artifacts / "export" / "a.tflite"), {"user": "recorded"}, 1, 1000)]


def test_benchmark_of_a_run_whose_data_are_gone_uses_random_inputs(run_with_artifacts, measured, monkeypatch):
    monkeypatch.setattr("tfdistill.export.describe", lambda path: {"signatures": [{}]}, raising=False)
    assert cli.main(["benchmark", str(run_with_artifacts)]) == 0
    assert [inputs for _, inputs, *_ in measured] == [{"user": "random"}]


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda folder: (folder / "export" / "a.tflite").unlink(), "no exported file is left in this run"),
        (lambda folder: (folder / "metrics.json").unlink(), "the run is not finished"),
        (lambda folder: (folder / "metrics.json").write_text("{"), "not readable as JSON"),
    ],
)
def test_benchmark_of_a_run_without_files_says_so(run_with_artifacts, measured, capsys, prepare, told):
    prepare(run_with_artifacts)
    assert cli.main(["benchmark", str(run_with_artifacts)]) == 2
    assert told in capsys.readouterr().err


def test_benchmark_refuses_a_keras_file(tmp_path, measured, capsys):
    (tmp_path / "m.keras").write_bytes(b"x")
    assert cli.main(["benchmark", str(tmp_path / "m.keras")]) == 2
    assert "expected a .tflite file or a SavedModel folder" in capsys.readouterr().err


def test_a_measuring_process_that_dies_is_told_in_one_line(described, measured, monkeypatch, capsys):
    def measure_cost(*args, **kwargs):
        raise RuntimeError("m.tflite: the measuring process was killed by SIGKILL")

    monkeypatch.setattr("tfdistill.evaluation.measure_cost", measure_cost, raising=False)
    assert cli.main(["benchmark", described]) == 2
    assert capsys.readouterr().err == "tfdistill: error: m.tflite: the measuring process was killed by SIGKILL\n"
