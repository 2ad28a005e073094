"""The commands about what runs leave behind: inspect, benchmark, report."""

import json
import sys
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from tfdistill import files
from tfdistill.cli_console import console
from tfdistill.errors import UserError
from tfdistill.recipes.report import formatting

_NUMBERS = ("bytes", "parameters", "zeros", "distinct")  # columns of the table of weights that are set to the right


def inspect(arguments):
    """`tfdistill inspect`: a run folder, checked, or what is in a model file."""
    from tfdistill._tensorflow import quiet_when_imported
    from tfdistill.cli_runs import inspect_run, is_run, runs_in

    path = Path(arguments.path)
    if is_run(path):
        return inspect_run(path)
    if runs_in(path):
        found = ", ".join(str(folder) for folder in runs_in(path))
        raise UserError(f"{path}: holds runs and is none itself. Pass one of them: {found}.")
    quiet_when_imported()
    from tfdistill.export import describe

    _print_contents(describe(path))
    return 0


def report(arguments):
    """`tfdistill report`: writes report.html anew and prints its path."""
    from tfdistill.cli_runs import find_finished_run, renew_report

    path = renew_report(find_finished_run(arguments.run, arguments.output))
    print(path)
    if arguments.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def benchmark(arguments):
    """`tfdistill benchmark`: times every artifact in a process of its own, then prints a table or JSON."""
    from tfdistill._tensorflow import quiet_when_imported
    from tfdistill.recipes.environment import describe_environment

    quiet_when_imported()
    out, measured = console(), []
    for label, path, inputs in _artifacts_with_inputs(Path(arguments.path)):
        if not arguments.json:
            out.print(f"measuring {label}", soft_wrap=True)
        measured.append({"label": label, "path": str(path), **_measure(path, inputs, arguments)})
    environment = describe_environment()
    if arguments.json:
        print(json.dumps({"artifacts": measured, "environment": environment}, indent=2))
        return
    out.print()
    out.print(_cost_table(measured))
    first = measured[0]
    batch, runs = first["throughput"]["batch"], first["latency_ms"]["runs"]
    plural = "thread" if arguments.threads == 1 else "threads"
    out.print(f"\nlatency of one example over {runs:,} runs; throughput at batch {batch}; {arguments.threads} {plural}")
    out.print(f"{environment['processor']}, {environment['cores']} cores", soft_wrap=True)


def _artifacts_with_inputs(path):
    """[(label, path, inputs)]: the artifacts of a run on rows of its test part, or one file on random inputs."""
    from tfdistill.cli_inputs import random_inputs
    from tfdistill.cli_runs import artifacts_of, inputs_of_test_part, is_run
    from tfdistill.export import describe

    recorded = inputs_of_test_part(path) if is_run(path) else None
    artifacts = artifacts_of(path) if is_run(path) else [(str(path), path)]
    if not artifacts:
        raise UserError(f"{path}: no exported file is left in this run. Run the recipe again to export them anew.")
    chosen = []
    for label, artifact in artifacts:
        inputs = recorded
        if inputs is None:
            contents = {} if artifact.suffix == ".keras" else describe(artifact)
            if not contents.get("signatures"):
                raise UserError(f"{artifact}: expected a .tflite file or a SavedModel folder, with a signature.")
            inputs, unknown = random_inputs(artifact, contents)
            if unknown:
                told = f"note: {artifact}: no table found for {', '.join(unknown)}; ids 0 and 1 only are looked up"
                print(told, file=sys.stderr)
        chosen.append((label, artifact, inputs))
    return chosen


def _measure(path, inputs, arguments):
    from tfdistill.evaluation import measure_cost

    try:
        return measure_cost(path, inputs, threads=arguments.threads, latency_runs=arguments.runs)
    except RuntimeError as error:
        raise UserError(str(error)) from error


def _cost_table(measured):
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("artifact")
    for title in ("size", "p50 ms", "p95 ms", "p99 ms", "examples/s", "peak memory"):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in measured:
        latency = entry["latency_ms"]
        table.add_row(
            Text(entry["label"]),
            formatting.size(files.size(entry["path"])),
            *(formatting.significant(latency[share]) for share in ("p50", "p95", "p99")),
            formatting.short_count(entry["throughput"]["examples_per_second"]),
            formatting.size(entry["peak_memory_bytes"]),
        )
    return table


def _print_contents(contents):
    """Prints what `tfdistill.export.describe` returned."""
    out = console()
    out.print(Text.assemble((contents["path"], "bold"), f"  {contents['format']}"), soft_wrap=True)
    facts = [f"{formatting.size(contents['bytes'])} ({contents['bytes']:,} bytes)"]
    facts.append(f"{formatting.size(contents['gzip_bytes'])} gzipped")
    facts.append(f"{formatting.count(contents['parameters'])} parameters")
    facts.append(f"{formatting.count(contents['flops'])} operations an example")
    out.print(", ".join(facts), soft_wrap=True)
    for signature in contents["signatures"]:
        out.print(f"\nsignature {signature['name']}")
        for direction in ("inputs", "outputs"):
            for tensor in signature[direction]:
                out.print(
                    f"  {direction.removesuffix('s'):6}  {tensor['name']}  {tensor['dtype']} {_shape(tensor['shape'])}"
                )
    if contents["operators"]:
        counted = ", ".join(f"{name} {count}" for name, count in contents["operators"].items())
        out.print(f"\noperators  {counted}", soft_wrap=True)
    if contents["foreign_operators"]:
        out.print(f"\nnot run by a plain TFLite runtime: {', '.join(contents['foreign_operators'])}", style="bold red")
    if contents["layers"]:
        out.print()
        out.print(_layer_table(contents["layers"]))


def _layer_table(layers):
    """The weights: whatever keys a kind of file has, with the share of all bytes behind them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key in layers[0]:
        table.add_column(key, justify="right" if key in _NUMBERS else "left", no_wrap=key != "name")
    table.add_column("share", justify="right")
    total = sum(layer["bytes"] for layer in layers)
    for layer in layers:
        share = formatting.percent(layer["bytes"] / total, 1) if total else formatting.MISSING
        table.add_row(*(Text(_cell(key, value)) for key, value in layer.items()), share)
    return table


def _cell(key, value):
    if key == "bytes":
        return formatting.size(value)
    if key == "zeros":
        return formatting.percent(value, 1)
    if key in ("parameters", "distinct"):
        return formatting.count(value)
    return _shape(value) if isinstance(value, list) else str(value)


def _shape(shape):
    """A shape with "any" for a dimension that varies."""
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
