"""The charts of the report: which points and lines they show, and what the tooltips say."""

from tfdistill.recipes.report import formatting
from tfdistill.recipes.report.charts import Line, Point, line_chart, scatter
from tfdistill.recipes.report.entries import FORMATS, model_of, role_class, roles, row_names
from tfdistill.recipes.report.formatting import number
from tfdistill.recipes.report.reading import leading_metric, objects
from tfdistill.recipes.roles import SHORT_LABELS, base_role, role_label

WIDE, NARROW = (600, 420), (350, 380)


def quality_charts(entries, metrics):
    """Returns the pairs of (wide, narrow) charts by name: quality against size and against latency; None without points."""
    measured = leading_metric(metrics)
    return {
        "size": _scatters(entries, measured, "bytes", "size (log scale)", _size_tick),
        "latency": _scatters(entries, measured, "latency_p50", "p50 latency, ms (log scale)", "{:g}".format),
    }


def _size_tick(value):
    """Writes a round size without the zeros that a measured one keeps: 1 MB, not 1.00 MB."""
    digits, unit = formatting.size(value).split(" ")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} {unit}"


def _scatters(entries, measured, attribute, title, tick):
    named = zip(entries, row_names(entries), strict=True)
    shown = [(entry, name) for entry, name in named if getattr(entry, attribute) and entry.quality]
    teacher = model_of(entries, "teacher")
    reference = (
        (f"teacher {formatting.metric(teacher.quality.mean)}", teacher.quality.mean)
        if teacher and teacher.quality
        else None
    )

    leads = {}
    for entry, _ in sorted(shown, key=lambda one: (not one[0].is_model, one[0].format != "tflite_float32")):
        leads.setdefault(entry.role, entry)
    points = [
        _point(entry, measured, name, getattr(entry, attribute), entry is leads[entry.role]) for entry, name in shown
    ]

    def draw(size):
        y_title, (width, height) = f"test {measured.title}", size
        return scatter(
            points, x_title=title, x_tick=tick, y_title=y_title, width=width, height=height, reference=reference
        )

    return (draw(WIDE), draw(NARROW)) if shown else None


def _point(entry, measured, name, x, names_role):
    """Makes the point of an entry; one point of a role `names_role`, the labels of the others are their own names."""
    quality = entry.quality
    spread = f" ± {formatting.metric(quality.std)}, {quality.count} seeds" if quality.std is not None else ""
    lines = [entry.label + (" (Keras model)" if entry.is_model else "")]
    lines.append(f"{measured.title} {formatting.metric(quality.mean)}{spread}")
    if len(entry.seed_quality) > 1:
        lines.append("seeds: " + ", ".join(formatting.metric(value) for value in entry.seed_quality))
    elif entry.seed is not None:
        lines.append(f"seed {entry.seed}")
    lines.append(f"size {formatting.size(entry.bytes)}" + (" of weights" if entry.is_model else ""))
    if entry.latency_p50 is not None:
        lines.append(f"p50 {formatting.significant(entry.latency_p50)} ms")
    role = role_label(entry.role, SHORT_LABELS)
    own_name = entry.format_name if entry.is_model else name
    return Point(
        x=x,
        y=quality.mean,
        role=role_class(entry.role),
        format=entry.format,
        label=f"{role}, {own_name}" if names_role and own_name != entry.label else own_name,
        tooltip="\n".join(lines),
        spread=quality.std,
        seeds=entry.seed_quality if len(entry.seed_quality) > 1 else [],
    )


def legend(entries):
    """Returns (roles, formats) that occur, as (key, name) pairs in their usual order."""
    present_roles = {base_role(entry.role) for entry in entries}
    shown_roles = [(role, name) for role, name in roles(entries).items() if role in present_roles]
    present = dict.fromkeys([*FORMATS, *(entry.format for entry in entries)])
    names = {"keras": "Keras model (bytes of its weights)", "saved_model": "SavedModel"}
    formats = [
        (key, names.get(key) or (f"TFLite {FORMATS[key]}" if key in FORMATS else key))
        for key in present
        if any(entry.format == key for entry in entries)
    ]
    return shown_roles, formats


def training_charts(metrics):
    """Returns the pairs of (wide, narrow) charts over epochs: of the loss and of the quality on the validation part."""
    charts, measured = [], leading_metric(metrics)
    for key, title in (("loss", "training loss"), (f"validation_{measured.key}", f"validation {measured.title}")):
        models = objects(metrics.get("models"))
        lines = [line for model in models for line in _lines(model, key, _epochs_before(model, models))]
        wide, narrow = (line_chart(lines, y_title=title, width=w, height=h) for w, h in (WIDE, NARROW))
        if wide:
            charts.append((wide, narrow))
    return charts


def _epochs_before(model, models):
    """How many epochs a compressed student has behind it when it trains on."""
    role = str(model.get("role"))
    return sum(
        max((len(objects(seed.get("epochs"))) for seed in objects(other.get("seeds"))), default=0)
        for other in models
        if role.startswith(f"{other.get('role')} ")
    )


def _lines(model, key, before):
    role = str(model.get("role"))
    for seed in objects(model.get("seeds")):
        pairs = [(number(epoch.get("epoch")), number(epoch.get(key))) for epoch in objects(seed.get("epochs"))]
        yield Line(
            role=role_class(role),
            label=role_label(role, SHORT_LABELS),
            name=f"{model.get('label') or role}, seed {seed.get('seed', formatting.MISSING)}",
            values=[(x + before, y) for x, y in pairs if x is not None and y is not None],
        )
