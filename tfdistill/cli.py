"""The command line: `tfdistill run | validate | recipes | inspect | benchmark | report`.

Only what parsing needs is imported here, so that `tfdistill --help` answers at once; the commands live in
`cli_recipes` and `cli_artifacts`.
"""

import argparse
import difflib
import errno
import importlib
import os
import sys
import textwrap

import tfdistill
from tfdistill.errors import UserError

DESCRIPTION = "Distil, compress, export and measure Keras recommenders. One recipe is one complete job."
EXAMPLES = """\
examples:
  tfdistill run quickstart                   the whole job on the embedded data set
  tfdistill recipes                          what there is to run
  tfdistill recipes quickstart > mine.yaml   a recipe to start from
  tfdistill validate mine.yaml               is it right?
  tfdistill run mine.yaml --set distill.student_loss_weight=0.2

`tfdistill COMMAND --help` tells more."""
DONE, USER_MISTAKE, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141
HELP_WIDTH = 100
DISK_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
DISK_FULL_TEXT = "No space left on device"


def main(argv=None):
    """Runs one command and returns its exit code: 0 done, 1 a check failed, 2 a mistake the user can mend, 130 Ctrl-C.

    >>> main(["validate", "quickstart"])
    ok: quickstart (run ...)
    0
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser, commands = build_parser()
    _refuse_unknown_command(parser, commands, argv)
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return USER_MISTAKE
    module, function = arguments.function.split(":")
    try:
        code = getattr(importlib.import_module(module), function)(arguments)
        sys.stdout.flush()
        return code or DONE
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to continue", INTERRUPTED, prefix="")
    except BrokenPipeError:
        # What reads our output has gone (`| head`); Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        return _fail(message, USER_MISTAKE)


def explain(error):
    """Returns one line for what the user or the machine can mend; `None` for anything else, which is a bug.

    >>> explain(FileNotFoundError(2, "No such file or directory", "clicks.csv"))
    'clicks.csv: No such file or directory.'
    """
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if getattr(error, "errno", None) in DISK_FULL or DISK_FULL_TEXT in text:
        path = getattr(error, "filename2", None) or getattr(error, "filename", None)
        place = f"{os.fspath(path)}: " if isinstance(path, str | os.PathLike) else ""
        return f"{place}the disk is full. Free some space and run the same command again to continue."
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        reason = f" ({text[:200]})" if text else ""
        return f"out of memory{reason}. Smaller batch sizes (--set student.train.batch_size=512) need less."
    if isinstance(error, OSError):
        if error.filename is None:
            return f"{type(error).__name__}: {text}"
        return f"{error.filename}: {error.strerror}."
    return None


def build_parser():
    """Returns the parser and the names of its commands."""
    parser = _parser(argparse.ArgumentParser, prog="tfdistill", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"tfdistill {tfdistill.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    recipes, artifacts = "tfdistill.cli_recipes", "tfdistill.cli_artifacts"

    run = _command(
        commands,
        "run",
        f"{recipes}:run",
        "run a recipe: train, distil, export, measure, report",
        "Runs a recipe from its data to its report, in OUTPUT/<recipe>/<run>. Stages whose settings and inputs are "
        "unchanged are not run again; a run that was stopped continues where it stopped.",
        "  tfdistill run quickstart\n"
        "  tfdistill run mine.yaml --set data.path=clicks.csv --set student.model.embedding_width=16\n"
        "  tfdistill run mine.yaml --set student_seeds=[1,2,3,4,5] --output /data/runs",
    )
    _recipe_arguments(run)
    _output_argument(run)
    run.add_argument("--quiet", action="store_true", help="print the final table only")

    validate = _command(
        commands,
        "validate",
        f"{recipes}:validate",
        "check a recipe without running it",
        "Checks every key of a recipe and that the files it names exist. Names the line of a mistake.",
        "  tfdistill validate mine.yaml\n  tfdistill validate quickstart --set seed=7 --resolved",
    )
    _recipe_arguments(validate)
    validate.add_argument("--resolved", action="store_true", help="print the recipe with every default filled in")

    listing = _command(
        commands,
        "recipes",
        f"{recipes}:recipes",
        "list the built-in recipes, or print one",
        "Lists the built-in recipes; prints the text of one; or explains every key that a recipe may have.",
        "  tfdistill recipes\n  tfdistill recipes quickstart > mine.yaml\n  tfdistill recipes --keys",
    )
    listing.add_argument("recipe", metavar="NAME", nargs="?", help="print this recipe's text")
    listing.add_argument("--keys", action="store_true", help="print every key: type, default, meaning")

    inspect = _command(
        commands,
        "inspect",
        f"{artifacts}:inspect",
        "look inside a model file or a run",
        "Shows inputs, outputs, tensors and sizes of a .keras file, a .tflite file or a SavedModel folder. Of a run "
        "folder it shows the stages, and checks every file against the manifest: exit code 1 if one differs.",
        "  tfdistill inspect saved_models/quickstart/3fa94c01d2\n  tfdistill inspect distilled.int8.tflite",
    )
    inspect.add_argument("path", metavar="PATH", help=".keras file, .tflite file, SavedModel folder or run folder")

    benchmark = _command(
        commands,
        "benchmark",
        f"{artifacts}:benchmark",
        "time exported files on this machine",
        "Measures latency of one example (p50, p95, p99), throughput at batch 256 and peak memory of a .tflite file or "
        "a SavedModel folder on random valid inputs, or of every artifact of a run on rows of its test part.",
        "  tfdistill benchmark distilled.int8.tflite --threads 4\n"
        "  tfdistill benchmark saved_models/quickstart/3fa94c01d2 --json",
    )
    benchmark.add_argument("path", metavar="PATH", help=".tflite file, SavedModel folder or run folder")
    benchmark.add_argument("--threads", type=_count, default=1, metavar="N", help="threads to use (default: 1)")
    benchmark.add_argument("--runs", type=_count, default=1000, metavar="N", help="timed calls (default: 1000)")
    benchmark.add_argument("--json", action="store_true", help="print JSON in place of a table")

    report = _command(
        commands,
        "report",
        f"{artifacts}:report",
        "write the report of a finished run anew",
        "Writes report.html of a run from its numbers, and prints where it is.",
        "  tfdistill report quickstart --open\n  tfdistill report saved_models/quickstart/3fa94c01d2",
    )
    report.add_argument("run", metavar="RUN", help="a run folder, or the name of a recipe: its newest finished run")
    _output_argument(report)
    report.add_argument("--open", action="store_true", help="open it in the browser")
    return parser, list(commands.choices)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, room for the longest command and option beside their meaning."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=28, width=HELP_WIDTH)


def _parser(make, **settings):
    return make(formatter_class=_HelpFormatter, allow_abbrev=False, **settings)


def _command(commands, name, function, title, description, examples):
    parser = _parser(
        lambda **settings: commands.add_parser(name, **settings),
        help=title,
        description=textwrap.fill(description, HELP_WIDTH),
        epilog=f"examples:\n{examples}",
    )
    parser.set_defaults(function=function)
    return parser


def _recipe_arguments(parser):
    parser.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a built-in recipe")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key, such as data.path=clicks.csv; the value is YAML, null is the default; repeatable",
    )


def _output_argument(parser):
    parser.add_argument(
        "--output", default="saved_models", metavar="FOLDER", help="folder of all runs (default: saved_models)"
    )


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def _refuse_unknown_command(parser, commands, argv):
    """Tells an unknown command apart from argparse's own words, with the nearest that exists."""
    word = argv[0] if argv else ""
    if word and not word.startswith("-") and word not in commands:
        near = difflib.get_close_matches(word, commands, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        parser.error(f"unknown command '{word}'.{hint} Commands: {', '.join(commands)}.")


def _fail(message, code, prefix="tfdistill: error: "):
    try:
        sys.stdout.flush()
    except OSError:
        pass  # the error that is told here came from writing there
    print(f"{prefix}{message}", file=sys.stderr)
    return code
