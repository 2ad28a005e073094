"""The two charts of the report, as SVG that takes its colours from the page: a scatter with a log axis, and lines."""

from dataclasses import dataclass, field

from markupsafe import Markup

from tfdistill.recipes.report.formatting import metric
from tfdistill.recipes.report.labels import FONT_SIZE, Box, place_labels, text_width
from tfdistill.recipes.report.scales import LinearScale, LogScale
from tfdistill.recipes.report.svg import element, marker

# Beyond this many points a chart has one tooltip a line instead of one an epoch, to keep the file small.
MOST_TOOLTIPS = 400

# Spread over seeds stands this many pixels left of its marker: on it, markers of nearly equal points would hide it.
BESIDE = 13


@dataclass(frozen=True)
class Point:
    """One model or artifact in a scatter: `x` > 0, `y`, and the values of single seeds where there are several."""

    x: float
    y: float
    role: str
    format: str
    label: str
    tooltip: str
    spread: float | None = None
    seeds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """One training run: (epoch, value) pairs of one seed of a role."""

    role: str
    label: str
    name: str
    values: list[tuple[float, float]]


def scatter(points, *, x_title, x_tick, y_title, width, height, reference=None):
    """Returns the chart of `points`, or None where there are none.

    Args:
        points: `Point`s; those with x <= 0 have no place on a log axis and are left out.
        x_title: What the x axis shows, with its unit.
        x_tick: Function from a value to the text of its tick.
        y_title: What the y axis shows.
        width: Pixels.
        height: Pixels.
        reference: (text, y) of a dashed line across, or None.
    """
    points = sorted((point for point in points if point.x > 0), key=lambda point: point.x)
    if not points:
        return None
    heights = [y for point in points for y in (point.y, *_reach(point))]
    heights += [reference[1]] if reference else []
    y_scale = _y_scale(heights, height, margin=0.13)
    y_texts, frame = _frame(y_scale, width, right=14)
    x_scale = LogScale([point.x for point in points], frame.left, frame.right, margin=0.1)

    parts = [_y_axis(y_scale, frame, y_title, y_texts)]
    for value in x_scale.ticks(max(3, int((frame.right - frame.left) / 62))):
        parts.append(_x_tick(x_scale(value), frame, x_tick(value)))
    parts.append(_x_title(frame, x_title))

    places = [(x_scale(point.x), y_scale(point.y)) for point in points]
    obstacles = [Box(x - 8, y - 8, x + 8, y + 8) for x, y in places]
    lines = []
    if reference:
        text, value = reference
        y = y_scale(value)
        parts.append(element("line", class_="reference", x1=frame.left, x2=frame.right, y1=y, y2=y))
        parts.append(element("text", text, class_="reference-label", x=frame.left + 6, y=y - 6))
        lines.append(Box(frame.left, y - 1, frame.right, y + 1))
        obstacles.append(Box(frame.left + 4, y - 19, frame.left + 8 + text_width(text), y - 3))
    for point, (x, y) in zip(points, places, strict=True):
        reach = [y, *(y_scale(value) for value in _reach(point))]
        if len(reach) > 1:
            obstacles.append(Box(x - BESIDE - 3, min(reach) - 2, x - BESIDE + 3, max(reach) + 2))

    placements = place_labels([point.label for point in points], places, frame, obstacles, lines)
    parts += [_leader(place, placed, point) for place, placed, point in zip(places, placements, points, strict=True)]
    parts += [_point(point, place, y_scale) for point, place in zip(points, places, strict=True)]
    parts += [_label(place, placed, point) for place, placed, point in zip(places, placements, points, strict=True)]
    return _picture(parts, width, height, f"{y_title} against {x_title}")


def line_chart(lines, *, y_title, width, height):
    """Returns the chart of `lines` over epochs, each role named once at the end of its lines, or None without lines."""
    lines = [line for line in lines if line.values]
    if not lines:
        return None
    values = [y for line in lines for _, y in line.values]
    names = {line.role: line.label for line in lines}
    room = max(map(text_width, names.values())) + 16
    y_scale = _y_scale(values, height, margin=0.06)
    y_texts, frame = _frame(y_scale, width, right=room)
    x_scale = LinearScale([x for line in lines for x, _ in line.values], frame.left + 8, frame.right - 4, margin=0)

    parts = [_y_axis(y_scale, frame, y_title, y_texts)]
    ticks = x_scale.ticks(max(3, int((frame.right - frame.left) / 50)))
    parts += [_x_tick(x_scale(tick), frame, f"{tick:.0f}") for tick in ticks if tick == int(tick)]
    parts.append(_x_title(frame, "epoch"))
    parts += [_line(line, x_scale, y_scale) for line in lines]
    if sum(len(line.values) for line in lines) <= MOST_TOOLTIPS:
        parts += [_stop(line, x, y, x_scale, y_scale) for line in lines for x, y in line.values]

    ends = {role: [line.values[-1][1] for line in lines if line.role == role] for role in names}
    wanted = {role: y_scale(sum(last) / len(last)) for role, last in ends.items()}
    for role, y in _apart(wanted, 16, frame).items():
        parts.append(element("text", names[role], class_=f"label {role}", x=frame.right + 8, y=y + 4))
    return _picture(parts, width, height, f"{y_title} over epochs")


def _reach(point):
    """Returns the y values that a point's error bar and seeds extend to."""
    return [*((point.y - point.spread, point.y + point.spread) if point.spread else ()), *point.seeds]


def _y_scale(values, height, margin):
    return LinearScale(values, height - 46, 30, margin)


def _frame(y_scale, width, right):
    """Returns the texts of the y axis's ticks by value, and the box that data is drawn in."""
    ticks = y_scale.ticks(6)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.01
    decimals = next((digits for digits in range(8) if abs(round(step, digits) - step) < 1e-9), 8)
    texts = {value: f"{value:.{decimals}f}" for value in ticks}
    left = max(map(text_width, texts.values()), default=0.0) + 14
    return texts, Box(left, y_scale.end, width - right, y_scale.start)


def _y_axis(scale, frame, title, texts):
    parts = [element("text", title, class_="axis-title", x=0.0, y=14.0)]
    for value, text in texts.items():
        y = scale(value)
        parts.append(element("line", class_="grid", x1=frame.left, x2=frame.right, y1=y, y2=y))
        parts.append(element("text", text, class_="tick", x=frame.left - 8, y=y + 4, text_anchor="end"))
    parts.append(element("line", class_="axis", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom))
    return Markup("").join(parts)


def _x_tick(x, frame, text):
    mark = element("line", class_="axis", x1=x, x2=x, y1=frame.bottom, y2=frame.bottom + 5)
    return mark + element("text", text, class_="tick", x=x, y=frame.bottom + 19, text_anchor="middle")


def _x_title(frame, title):
    middle = (frame.left + frame.right) / 2
    return element("text", title, class_="axis-title", x=middle, y=frame.bottom + 40, text_anchor="middle")


def _point(point, place, y_scale):
    x, y = place
    parts = [marker(point.format, point.role)]
    if point.spread:
        top, bottom = (y_scale(point.y + deviation) - y for deviation in (point.spread, -point.spread))
        parts.append(element("path", class_=f"whisker {point.role}", d=f"M{-BESIDE},{top:.1f}V{bottom:.1f}"))
    parts += [
        element("circle", class_=f"seed {point.role}", cx=-BESIDE, cy=y_scale(value) - y, r=2.0)
        for value in point.seeds
    ]
    # A touch needs more room than a marker takes.
    parts.append(element("circle", class_="target", r=11.0))
    return element(
        "g",
        element("title", point.tooltip),
        *parts,
        class_="point",
        tabindex=0,
        transform=f"translate({x:.1f},{y:.1f})",
        data_label=point.label,
        data_x=point.x,
    )


def _leader(place, placement, point):
    if placement.leader is None:
        return Markup("")
    (x1, y1), (x2, y2) = place, placement.leader
    return element("line", class_=f"leader {point.role}", x1=x1, y1=y1, x2=x2, y2=y2)


def _label(place, placement, point):
    box = placement.box
    # Anchored on the side that faces the point, so that a font wider or narrower than reckoned keeps the gap even.
    if box.left > place[0]:
        x, anchor = box.left, "start"
    elif box.right < place[0]:
        x, anchor = box.right, "end"
    else:
        x, anchor = (box.left + box.right) / 2, "middle"
    baseline = (box.top + box.bottom) / 2 + FONT_SIZE * 0.35
    return element("text", point.label, class_=f"label {point.role}", x=x, y=baseline, text_anchor=anchor)


def _line(line, x_scale, y_scale):
    path = "M" + "L".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in line.values)
    last = f"{line.name}: {metric(line.values[-1][1])} at the end"
    return element("path", element("title", last), class_=f"line {line.role}", d=path)


def _stop(line, x, y, x_scale, y_scale):
    tooltip = element("title", f"{line.name}, epoch {x:.0f}\n{metric(y)}")
    return element("circle", tooltip, class_=f"stop {line.role}", cx=x_scale(x), cy=y_scale(y), r=5.0)


def _apart(wanted, least, frame):
    """Returns each role's y, moved so that neighbours are `least` pixels apart or more and inside the frame."""
    order = sorted(wanted, key=wanted.get)
    places = [wanted[role] for role in order]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + least)
    if places and places[-1] > frame.bottom:
        places[-1] = frame.bottom
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - least)
    return dict(zip(order, places, strict=True))


def _picture(parts, width, height, name):
    return element(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=name,
    )
