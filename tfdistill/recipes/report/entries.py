"""The rows of a run: every Keras model and every artifact with its numbers, in one shape for charts and tables."""

from dataclasses import dataclass, field

from tfdistill.recipes.report.formatting import number
from tfdistill.recipes.report.reading import dig, leading_metric, objects
from tfdistill.recipes.roles import ASSISTANT, FORMAT_LABELS, base_role, role_label
from tfdistill.recipes.roles import LABELS as ROLES

FORMATS = {"keras": "Keras", **FORMAT_LABELS}


@dataclass(frozen=True)
class Spread:
    """A metric over seeds; `std` is None for a single seed."""

    mean: float
    std: float | None = None
    count: int = 1


@dataclass(frozen=True)
class Entry:
    """A Keras model as trained (`is_model`) or an artifact; what was not measured is None."""

    label: str
    role: str
    format: str
    test: dict[str, Spread]
    metric: str = "auc"
    is_model: bool = False
    seed_quality: list[float] = field(default_factory=list)
    seed: int | None = None
    bytes: float | None = None
    gzip_bytes: float | None = None
    parameters: float | None = None
    flops: float | None = None
    parity_max: float | None = None
    parity_mean: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None
    throughput: float | None = None
    peak_memory: float | None = None

    @property
    def quality(self):
        """The `Spread` of the task's own metric, `metric`, on the test part, or None."""
        return self.test.get(self.metric)

    @property
    def format_name(self):
        """The format as people say it."""
        return FORMATS.get(self.format, self.format)


def read_entries(metrics):
    """Returns the `Entry` of every model and artifact: teacher, assistants, students, in each the Keras model first."""
    metric = leading_metric(metrics).key
    entries = [_model(model, metric) for model in objects(metrics.get("models"))]
    entries += [_artifact(artifact, metric) for artifact in objects(metrics.get("artifacts"))]
    order = list(roles(entries))
    steps = list(dict.fromkeys(entry.role for entry in entries))

    def place(entry):
        base = base_role(entry.role)
        return order.index(base) if base in order else len(order), steps.index(entry.role)

    return sorted(entries, key=place)


def roles(entries):
    """Returns {role: name} of all roles that have a colour, from teacher to student; the assistants as they come.

    A student that was compressed ("distilled prune") has the colour of what it was made from.
    """
    assistants = {entry.role: entry.role for entry in entries if entry.role.startswith(ASSISTANT)}
    return {"teacher": ROLES["teacher"], **assistants, **ROLES}


def role_class(role):
    """Returns the classes of a role in the page: its words, the first of which has a colour, or "other"."""
    return role if base_role(role) in ROLES or role.startswith(ASSISTANT) else "other"


def model_of(entries, role):
    """Returns the Keras model of a role, or None."""
    return next((entry for entry in entries if entry.is_model and entry.role == role), None)


def row_names(entries):
    """Returns the names of the rows of a table: the labels, and below a Keras model its artifacts without its label."""
    names = []
    for entry in entries:
        model = model_of(entries, entry.role)
        prefix = f"{model.label}, " if model and entry is not model else ""
        names.append(entry.label.removeprefix(prefix) or entry.label)
    return names


def teacher_bytes(entries):
    """Returns what sizes are compared with: the teacher's TFLite float32 file, else its first, else its weights."""
    sized = [entry for entry in entries if entry.role == "teacher" and entry.bytes]
    best = min(sized, key=lambda entry: (entry.is_model, entry.format != "tflite_float32"), default=None)
    return best.bytes if best else None


def _model(model, metric):
    layers = [number(layer.get("bytes")) for layer in objects(model.get("layers"))]
    known = [size for size in layers if size is not None]
    seeds = [number(dig(seed, "test", metric)) for seed in objects(model.get("seeds"))]
    role = str(model.get("role"))
    return Entry(
        label=str(model.get("label") or role_label(role)),
        role=role,
        format="keras",
        is_model=True,
        test=_test(model.get("test")),
        metric=metric,
        seed_quality=[value for value in seeds if value is not None],
        bytes=sum(known) if known else None,
        parameters=number(model.get("parameters")),
    )


def _artifact(artifact, metric):
    role, format_name = str(artifact.get("role")), str(artifact.get("format"))
    fallback = f"{role_label(role)}, {FORMATS.get(format_name, format_name)}"
    return Entry(
        label=str(artifact.get("label") or fallback),
        role=role,
        format=format_name,
        test=_test(artifact.get("test")),
        metric=metric,
        seed=artifact.get("seed"),
        bytes=number(artifact.get("bytes")),
        gzip_bytes=number(artifact.get("gzip_bytes")),
        parameters=number(artifact.get("parameters")),
        flops=number(artifact.get("flops")),
        parity_max=number(dig(artifact, "parity", "max")),
        parity_mean=number(dig(artifact, "parity", "mean")),
        latency_p50=number(dig(artifact, "latency_ms", "p50")),
        latency_p95=number(dig(artifact, "latency_ms", "p95")),
        latency_p99=number(dig(artifact, "latency_ms", "p99")),
        throughput=number(dig(artifact, "throughput", "examples_per_second")),
        peak_memory=number(artifact.get("peak_memory_bytes")),
    )


def _test(test):
    """Reads metrics given as plain numbers (one seed) or as {mean, std, count}."""
    spreads = {}
    for name, value in (test if isinstance(test, dict) else {}).items():
        mean = number(dig(value, "mean") if isinstance(value, dict) else value)
        if mean is not None:
            spreads[str(name)] = Spread(mean, number(dig(value, "std")), int(number(dig(value, "count")) or 1))
    return spreads
