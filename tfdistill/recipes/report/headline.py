"""What came out of the run: one sentence and a row of figures."""

from dataclasses import dataclass

from tfdistill.recipes.report.entries import ROLES, model_of
from tfdistill.recipes.report.formatting import MISSING, metric, number, percent, significant, size, times
from tfdistill.recipes.report.reading import dig, leading_metric
from tfdistill.recipes.roles import base_role, role_label


@dataclass(frozen=True)
class Figure:
    """A large number with its caption; `role` gives it the role's colour."""

    value: str
    unit: str
    caption: str
    detail: str
    role: str = ""


def sentence(metrics, entries):
    """Returns the outcome in plain words, with the numbers that matter and no praise they do not carry."""
    parts = (_quality(metrics, entries), _cost(metrics, entries), _compression(metrics, entries))
    return " ".join(part for part in parts if part)


def figures(metrics, entries):
    """Returns the large figures: gap closed, times smaller, times faster, and the quality of the three models."""
    title = _title(metrics)
    summary = metrics.get("summary")
    smallest, faster = _factor(dig(summary, "size_ratio_smallest")), _factor(dig(summary, "speedup"))
    gap = None if _is_noise(metrics, entries) else number(dig(summary, "gap_closed"))
    shown = [
        Figure(
            MISSING if gap is None else percent(gap).removesuffix("%"),
            "" if gap is None else "%",
            "of the gap to the teacher closed",
            _gap_detail(gap, dig(summary, "gap_closed_by_seed"), title),
        ),
        Figure(
            smallest[0], smallest[1], f"{_word(smallest, 'smaller', 'larger')} than the teacher", _size_detail(entries)
        ),
        Figure(
            faster[0],
            faster[1],
            f"{_word(faster, 'faster', 'slower')} than the teacher",
            _speed_detail(number(dig(summary, "speedup")), entries),
        ),
    ]
    for role, name in ROLES.items():
        value, deviation, count = _test_quality(role, metrics, entries)
        if deviation is not None:
            detail = f"± {metric(deviation)} over {count} seeds"
        else:
            detail = "one seed" if value is not None else ""
        shown.append(Figure(metric(value), "", f"{title}, {name}", detail, role))
    return shown


def _title(metrics):
    return leading_metric(metrics).title


def _test_quality(role, metrics, entries):
    model = model_of(entries, role)
    if model and model.quality:
        return model.quality.mean, model.quality.std, model.quality.count
    return number(dig(metrics, "summary", leading_metric(metrics).key, role)), None, 1


def _is_noise(metrics, entries):
    """Whether teacher and student alone are no further apart than the students alone among themselves."""
    teacher, (alone, deviation, _) = (
        _test_quality("teacher", metrics, entries)[0],
        _test_quality("alone", metrics, entries),
    )
    return None not in (teacher, alone, deviation) and teacher - alone <= deviation


def _quality(metrics, entries):
    teacher, alone, distilled = (_test_quality(role, metrics, entries)[0] for role in ROLES)
    gap, title = number(dig(metrics, "summary", "gap_closed")), _title(metrics)
    if distilled is None:
        return ""
    if teacher is None or alone is None:
        return f"The distilled student reaches a test {title} of {metric(distilled)}."
    if teacher <= alone:
        return (
            f"The teacher (test {title} {metric(teacher)}) is no better than the student trained alone ({metric(alone)}), "
            f"so there is no gap to close; the distilled student reaches {metric(distilled)}."
        )
    if distilled <= alone:
        return (
            f"Distillation did not help here: the distilled student's test {title} is {metric(distilled)}, "
            f"the student's trained alone {metric(alone)} and the teacher's {metric(teacher)}."
        )
    if distilled >= teacher:
        return (
            f"The distilled student is as good as its teacher: test {title} {metric(distilled)} against {metric(teacher)}; "
            f"trained alone the same student reaches {metric(alone)}."
        )
    if gap is None:
        gap = (distilled - alone) / (teacher - alone)
    return (
        f"Distillation closed {percent(gap)} of the gap in test {title} between the student trained alone "
        f"({metric(alone)}) and its teacher ({metric(teacher)})."
    )


def _cost(metrics, entries):
    smallest = _smallest(entries)
    smaller = _factor(dig(metrics, "summary", "size_ratio_smallest"))
    faster = _factor(dig(metrics, "summary", "speedup"))
    told = []
    if smallest and smaller[0] != MISSING:
        quality = f", {_title(metrics)} {metric(smallest.quality.mean)}" if smallest.quality else ""
        told.append(
            f"The distilled student's smallest file ({smallest.format_name}, {size(smallest.bytes)}{quality}) "
            f"is {smaller[0]} times {_word(smaller, 'smaller', 'larger')} than the teacher's"
        )
    if faster[0] != MISSING:
        subject = ", and the student" if told else "The distilled student"
        than = "" if told else " than its teacher"
        told.append(f"{subject} answers {faster[0]} times {_word(faster, 'faster', 'slower')}{than}")
    return f"{''.join(told)}." if told else ""


def _compression(metrics, entries):
    """What the steps of `compress` made of the distilled student, as downloaded: zeros show once a file is zipped."""
    teacher = min((entry.gzip_bytes for entry in entries if entry.role == "teacher" and entry.gzip_bytes), default=None)
    made = [
        entry for entry in entries if entry.role.startswith("distilled ") and entry.gzip_bytes and not entry.is_model
    ]
    if not made or teacher is None:
        return ""
    last = [entry for entry in made if entry.role == made[-1].role]
    best = min(last, key=lambda entry: entry.gzip_bytes)
    steps = role_label(best.role).partition(", ")[2].replace(", ", " and ")
    quality = f", {_title(metrics)} {metric(best.quality.mean)}" if best.quality else ""
    ratio, _, factor = _factor(teacher / best.gzip_bytes)
    return (
        f"{steps[0].upper()}{steps[1:]}, the distilled student is a download of {size(best.gzip_bytes)} (gzip, "
        f"{best.format_name}{quality}), {ratio} times {'smaller' if factor >= 1 else 'larger'} than the teacher's."
    )


def _factor(value):
    """Returns (text, unit, value) of a ratio; one below 1 is turned over, to be told as larger or slower."""
    value = number(value)
    if value is None or value <= 0:
        return MISSING, "", None
    return times(value if value >= 1 else 1 / value), "×", value


def _word(factor, better, worse):
    return worse if factor[2] is not None and factor[2] < 1 else better


def _smallest(entries):
    sized = [entry for entry in entries if base_role(entry.role) == "distilled" and not entry.is_model and entry.bytes]
    return min(sized, key=lambda entry: entry.bytes, default=None)


def _size_detail(entries):
    smallest = _smallest(entries)
    return f"{smallest.format_name}, {size(smallest.bytes)}" if smallest else ""


def _speed_detail(speedup, entries):
    """Names the two files behind the speed-up: the teacher's and the student's whose latencies have that ratio."""
    if speedup is None:
        return "not measured"
    pairs = [
        (abs(teacher.latency_p50 / student.latency_p50 / speedup - 1), teacher, student)
        for teacher in entries
        for student in entries
        if speedup
        and (teacher.role, student.role) == ("teacher", "distilled")
        and teacher.latency_p50
        and student.latency_p50
    ]
    error, teacher, student = min(pairs, key=lambda pair: pair[0], default=(1.0, None, None))
    if error > 0.01:
        return "p50 latency"
    return f"{student.format_name}, {significant(teacher.latency_p50)} → {significant(student.latency_p50)} ms"


def _gap_detail(gap, by_seed, title):
    if gap is None:
        return "no gap to close"
    known = [share for share in map(number, by_seed if isinstance(by_seed, list) else []) if share is not None]
    if len(known) < 2:
        return f"in test {title}"
    return f"{percent(min(known)).removesuffix('%')} to {percent(max(known))} over {len(known)} seeds"
