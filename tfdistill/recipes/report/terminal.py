"""The table that ends `tfdistill run` in the terminal."""

from rich import box
from rich.markup import escape
from rich.table import Table

from tfdistill.recipes.report import formatting
from tfdistill.recipes.report.entries import read_entries, row_names, teacher_bytes
from tfdistill.recipes.report.reading import leading_metric
from tfdistill.recipes.roles import DONE


def summary_table(metrics):
    """Returns the outcome of a run as a `rich.table.Table`, one row per model and artifact, at most 100 columns wide.

    Sizes of Keras models are those of their weights; "smaller" compares with the teacher's TFLite float32 file (the
    teacher as loaded where there is no such file); the deviation of the first metric is over the seeds.

    Args:
        metrics: The content of a run's metrics.json, a dict.

    Example:
        ```python
        metrics = json.loads(Path("saved_models/quickstart/3fa94c01d2/metrics.json").read_text())
        rich.print(summary_table(metrics))
        ```
    """
    entries = read_entries(metrics)
    reference = teacher_bytes(entries)
    names = [
        ("" if name == entry.label else "  ") + name.replace(DONE["quantize_aware"], "QAT")
        for name, entry in zip(row_names(entries), entries, strict=True)
    ]
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False)
    table.add_column("", max_width=31, overflow="fold")
    ndcg = next((name for entry in entries for name in entry.test if name.startswith("ndcg@")), None)
    table.add_column(leading_metric(metrics).title, no_wrap=True, vertical="bottom")
    has_loss = any("log_loss" in entry.test for entry in entries)
    for title in (
        *(["log\nloss"] if has_loss else []),
        *([ndcg.replace("@", "\n@")] if ndcg else []),
        "size",
        "gzip",
        "smaller",
        "p50\nms",
        "max\ndiff",
    ):
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    for position, entry in enumerate(entries):
        last = position + 1 == len(entries) or entries[position + 1].role != entry.role
        ratio = reference / entry.bytes if reference and entry.bytes else None
        table.add_row(
            escape(names[position]),
            _quality(entry.quality),
            *([_mean(entry, "log_loss")] if has_loss else []),
            *([_mean(entry, ndcg)] if ndcg else []),
            formatting.size(entry.bytes),
            formatting.size(entry.gzip_bytes),
            formatting.MISSING if ratio is None else f"{formatting.times(ratio)}×",
            formatting.significant(entry.latency_p50, 2),
            formatting.difference(entry.parity_max, brief=True),
            style="bold" if entry.is_model else None,
            end_section=last,
        )
    return table


def _quality(spread):
    if spread is None:
        return formatting.MISSING
    return formatting.metric(spread.mean) + formatting.deviation(spread.std)


def _mean(entry, name):
    spread = entry.test.get(name)
    return formatting.metric(spread.mean if spread else None)
