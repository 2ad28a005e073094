"""The tables of models and artifacts: which columns, in which units, and which value of a column is best."""

from dataclasses import dataclass, replace

from tfdistill.recipes.report import formatting
from tfdistill.recipes.report.entries import Entry, row_names, teacher_bytes

METRIC_TITLES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}


@dataclass(frozen=True)
class Cell:
    """A value as shown, its exact form for the tooltip, a lesser text after it, and whether it is its column's best."""

    text: str
    value: float | None = None
    note: str = ""
    best: bool = False

    @property
    def exact(self):
        """The value unrounded, or nothing."""
        return "" if self.value is None else f"{self.value:.10g}"


@dataclass(frozen=True)
class Table:
    """Column titles, with a direction each, and a row for every entry: its name, itself, its cells."""

    titles: list[str]
    rows: list[tuple[str, Entry, list[Cell]]]


def quality_table(entries):
    """Returns the table of test metrics and of the difference to Keras."""
    names = (
        [entry.metric for entry in entries] + list(METRIC_TITLES) + [name for entry in entries for name in entry.test]
    )
    names = [name for name in dict.fromkeys(names) if any(name in entry.test for entry in entries)]
    columns = [
        (
            METRIC_TITLES.get(name, name),
            "low" if "loss" in name else "high",
            lambda entry, name=name: _metric(entry, name),
        )
        for name in names
    ]
    columns += [
        ("max difference", None, lambda entry: Cell(formatting.difference(entry.parity_max), entry.parity_max)),
        ("mean difference", None, lambda entry: Cell(formatting.difference(entry.parity_mean), entry.parity_mean)),
    ]
    return _table(columns, entries)


def cost_table(entries):
    """Returns the table of size, speed and memory."""
    reference = teacher_bytes(entries)

    def smaller(entry):
        ratio = reference / entry.bytes if reference and entry.bytes else None
        return Cell(formatting.MISSING if ratio is None else f"{formatting.times(ratio)}×", ratio)

    def column(attribute, write):
        return lambda entry: Cell(write(getattr(entry, attribute)), getattr(entry, attribute))

    milliseconds = formatting.significant
    return _table(
        [
            ("size", "low", column("bytes", formatting.size)),
            ("smaller than teacher", None, smaller),
            ("gzip", "low", column("gzip_bytes", formatting.size)),
            ("parameters", None, column("parameters", formatting.short_count)),
            ("FLOPs per example", None, column("flops", formatting.short_count)),
            ("p50,\N{NO-BREAK SPACE}ms", "low", column("latency_p50", milliseconds)),
            ("p95,\N{NO-BREAK SPACE}ms", "low", column("latency_p95", milliseconds)),
            ("p99,\N{NO-BREAK SPACE}ms", "low", column("latency_p99", milliseconds)),
            ("examples per second", "high", column("throughput", formatting.short_count)),
            ("peak memory", "low", column("peak_memory", formatting.size)),
        ],
        entries,
    )


def _metric(entry, name):
    spread = entry.test.get(name)
    if spread is None:
        return Cell(formatting.MISSING)
    note = formatting.deviation(spread.std)
    return Cell(formatting.metric(spread.mean), spread.mean, note)


def _table(columns, entries):
    written = [_with_best([cell(entry) for entry in entries], better) for _, better, cell in columns]
    rows = [
        (name, entry, [cells[index] for cells in written])
        for index, (name, entry) in enumerate(zip(row_names(entries), entries, strict=True))
    ]
    return Table([title for title, _, _ in columns], rows)


def _with_best(cells, better):
    """Marks the best value, with all that read the same; marks nothing where that is half of the column or more."""
    values = [cell.value for cell in cells if cell.value is not None]
    if better is None or not values:
        return cells
    best = (min if better == "low" else max)(values)
    text = next(cell.text for cell in cells if cell.value == best)
    if 2 * sum(cell.text == text for cell in cells) >= len(values):
        return cells
    return [replace(cell, best=cell.text == text) for cell in cells]
