"""Puts a label beside every point so that none covers another label, a point or the edge.

Each label has places around its point to choose from, each with a price for the distance and for what it covers. From a
few starting orders the labels choose one after another and then again with all others in view, until none moves; the
cheapest outcome is taken. The orders are seeded: the same points always give the same picture.
"""

import functools
import math
import random
from dataclasses import dataclass

FONT_SIZE = 12
LINE_HEIGHT = 15
_NARROW, _WIDE = set("ijltfr.,:;|!'() "), set("mwMW@%")
_DISTANCES = (9, 15, 23, 33, 45, 60, 78, 100)
_SLIDES = (0.0, -0.2, 0.2, -0.4, 0.4)
_ANGLES = [index * math.pi / 8 for index in range(16)]
_COVERS, _CROSSES, _MISLEADS, _TOUCHES = 1000.0, 700.0, 160.0, 12.0
_CHOICES, _STARTS = 40, 6


def text_width(text, font_size=FONT_SIZE):
    """Returns about how many pixels a text takes in a common sans-serif font."""
    widths = (0.31 if c in _NARROW else 0.86 if c in _WIDE else 0.66 if c.isupper() else 0.565 for c in text)
    return font_size * sum(widths)


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other):
        """Returns the area shared with another box, in square pixels."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def holds(self, x, y):
        """Returns whether the place lies inside."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def distance(self, x, y):
        """Returns how far the place is from the box, 0 inside."""
        across = max(self.left - x, x - self.right, 0.0)
        return math.hypot(across, max(self.top - y, y - self.bottom, 0.0))


@dataclass(frozen=True)
class Placement:
    """Where a label may go: its box, the end of the leader line of one away from its point, and its price so far."""

    box: Box
    leader: tuple[float, float] | None
    cost: float


def place_labels(texts, anchors, bounds, obstacles=(), lines=()):
    """Returns one `Placement` a label.

    Args:
        texts: The labels.
        anchors: (x, y) of each label's point, in pixels.
        bounds: The `Box` that labels must stay in.
        obstacles: Boxes not to cover (points, error bars, other text).
        lines: Boxes that a label had better not cross, such as a reference line.
    """
    choices = []
    for index, text in enumerate(texts):
        # Points that all but coincide have no nearer side: their labels cannot be told apart by nearness.
        strangers = [other for other in anchors if math.dist(other, anchors[index]) > 6]
        candidates = _candidates(text_width(text), anchors[index])
        priced = [_priced(candidate, anchors[index], strangers, bounds, obstacles, lines) for candidate in candidates]
        choices.append(sorted(priced, key=lambda placement: placement.cost)[:_CHOICES])

    @functools.cache
    def clash(first, first_choice, second, second_choice):
        one, other = choices[first][first_choice], choices[second][second_choice]
        return _clash(one, anchors[first], other, anchors[second])

    shuffled = random.Random(0).sample
    orders = [range(len(texts)), range(len(texts))[::-1]]
    orders += [shuffled(range(len(texts)), len(texts)) for _ in range(_STARTS)]
    _, chosen = min((_settle(choices, clash, order) for order in orders), key=lambda outcome: outcome[0])
    return [choices[index][choice] for index, choice in enumerate(chosen)]


def _settle(choices, clash, order):
    """Returns (total price, the number of each label's choice) after all have chosen in this order until none moves."""
    chosen = [None] * len(choices)

    def clashes(index, choice):
        others = [(at, taken) for at, taken in enumerate(chosen) if taken is not None and at != index]
        # A pair is priced once, whichever of the two asks: in the order of the labels.
        return sum(clash(*pair, index, choice) if pair[0] < index else clash(index, choice, *pair) for pair in others)

    for _ in range(5):
        before = list(chosen)
        for index in order:
            prices = [placement.cost + clashes(index, choice) for choice, placement in enumerate(choices[index])]
            chosen[index] = prices.index(min(prices))
        if chosen == before:
            break
    total = sum(choices[index][choice].cost + clashes(index, choice) / 2 for index, choice in enumerate(chosen))
    return total, chosen


def _candidates(width, anchor):
    """Yields (box, distance, price of the direction) of the places around a point."""
    x, y = anchor
    for distance in _DISTANCES:
        for angle in _ANGLES:
            across, down = math.cos(angle), math.sin(angle)
            # The label's nearest side faces its point: to the right it starts there, above it may slide along.
            for slide in _SLIDES if _side(across) == 0 else (0.0,):
                middle_x = x + across * distance + (_side(across) / 2 + slide) * width
                middle_y = y + down * distance + _side(down) * LINE_HEIGHT / 2 * (abs(across) < 0.95)
                left, top = middle_x - width / 2, middle_y - LINE_HEIGHT / 2
                direction = 0.0 if across > 0.95 else 3.0 if abs(down) > 0.95 else 4.0 if across < -0.95 else 6.0
                yield Box(left, top, left + width, top + LINE_HEIGHT), distance, direction + 8 * abs(slide)


def _side(direction):
    return 0.0 if abs(direction) < 0.3 else math.copysign(1.0, direction)


def _priced(candidate, anchor, strangers, bounds, obstacles, lines):
    """Returns a candidate with the price of all but the other labels."""
    box, distance, preference = candidate
    cost = distance * 0.8 + preference
    cost += sum(_COVERS / 2 + box.overlap(obstacle) for obstacle in obstacles if box.overlap(obstacle))
    cost += sum(_TOUCHES for line in lines if box.overlap(line))
    if box.left < bounds.left or box.right > bounds.right or box.top < bounds.top or box.bottom > bounds.bottom:
        cost += 4 * _COVERS
    leader = None
    if distance > 15:
        leader = (min(max(anchor[0], box.left), box.right), min(max(anchor[1], box.top), box.bottom))
        cost += _CROSSES * sum(_crosses(anchor, leader, obstacle) for obstacle in obstacles)
    # A label that stands nearer to a stranger's point than to its own is read as the stranger's, less so with a leader.
    nearer = sum(box.distance(*stranger) < box.distance(*anchor) + 2 for stranger in strangers)
    cost += nearer * (_MISLEADS / 4 if leader else _MISLEADS)
    return Placement(box, leader, cost)


def _clash(one, anchor, other, other_anchor):
    """Returns the price of two labels that cover each other, or whose leader lines run through a label or cross."""
    shared = Box(one.box.left - 7, one.box.top, one.box.right + 7, one.box.bottom).overlap(other.box)
    cost = _COVERS + shared if shared else 0.0
    cost += _CROSSES if one.leader and _crosses(anchor, one.leader, other.box) else 0.0
    cost += _CROSSES if other.leader and _crosses(other_anchor, other.leader, one.box) else 0.0
    if one.leader and other.leader and _meet(anchor, one.leader, other_anchor, other.leader):
        cost += _CROSSES / 2
    return cost


def _crosses(start, end, box):
    """Returns whether the line runs through the box; the box that it starts in is its own point's."""
    if box.holds(*start):
        return False
    enters, leaves = 0.0, 1.0
    for at, to, low, high in ((start[0], end[0], box.left, box.right), (start[1], end[1], box.top, box.bottom)):
        if (at < low and to < low) or (at > high and to > high):
            return False
        if at != to:
            first, last = (low - at) / (to - at), (high - at) / (to - at)
            enters, leaves = max(enters, min(first, last)), min(leaves, max(first, last))
    return enters <= leaves


def _meet(start, end, other_start, other_end):
    """Returns whether two lines cross: each has the ends of the other on different sides."""

    def side(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    apart = side(start, end, other_start) * side(start, end, other_end) < 0
    return apart and side(other_start, other_end, start) * side(other_start, other_end, end) < 0
