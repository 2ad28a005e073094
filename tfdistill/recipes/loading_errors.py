"""A mistake in a recipe, told in one line: where, what was expected, what came, and the nearest thing that exists."""

import difflib
import json

from tfdistill.errors import UserError
from tfdistill.recipes.schema import Recipe
from tfdistill.recipes.schema_keys import find_place, one_of, sections, tag_of

MOST_NAMED = 5
LONGEST_VALUE = 60


class Origins:
    """Where every key of a recipe was written: a line of the file or a `--set`.

    Args:
        source: the file, as messages call it.
        lines: {path: line}.
    """

    def __init__(self, source, lines):
        self.source = source
        self.lines = dict(lines)
        self.overrides = {}

    def override(self, path, option):
        """Notes that all at `path` and below comes from elsewhere: from a `--set`, or nowhere (None: a removed key)."""
        for known in (self.lines, self.overrides):
            for below in [each for each in known if each[: len(path)] == path]:
                del known[below]
        if option is not None:
            self.overrides[path] = option

    def find(self, path):
        """Returns (option, line) of the nearest ancestor that was written; one of them is None, or both."""
        for length in range(len(path), 0, -1):
            nearest = tuple(path[:length])
            if nearest in self.overrides:
                return self.overrides[nearest], None
            if nearest in self.lines:
                return None, self.lines[nearest]
        return None, None

    def order(self, path):
        """Sorts mistakes as the file reads: by line, then what has none, then the overrides."""
        option, line = self.find(path)
        return (option is not None, line is None, line or 0)

    def describe(self, path):
        """Where and what: "recipe.yaml line 12: seed", or "--set seed"."""
        option, line = self.find(path)
        if option is not None:
            is_the_key = option == f"--set {dotted(path)}" or not option.startswith("--set ")
            return option if is_the_key else f"{option}: {dotted(path)}"
        place = f"{self.source} line {line}" if line is not None else str(self.source)
        return f"{place}: {dotted(path)}" if path else place

    def short(self, path):
        """The same for a list of further mistakes: "line 14 student.model.kind"."""
        option, line = self.find(path)
        place = option if option is not None else f"line {line}" if line is not None else ""
        return f"{place} {dotted(path)}".strip() if option != f"--set {dotted(path)}" else option


def mistake(message, path, origins):
    """Returns the `UserError` for one mistake at a path."""
    return UserError(_sentence(f"{origins.describe(path)}: {message}"))


def explain(error, values, origins, schema=Recipe):
    """Returns the `UserError` for a pydantic ValidationError: the first mistake in full, the others by place.

    Args:
        error: what `schema.model_validate` raised.
        values: what it was given.
        origins: where that was written.
        schema: what a recipe was read as.
    """
    mistakes = {}
    for detail in error.errors(include_url=False):
        path, message = _translate(detail, values, schema)
        if message is not None:
            mistakes.setdefault(path, message)
    first, *others = sorted(mistakes, key=origins.order)
    told = _sentence(f"{origins.describe(first)}: {mistakes[first]}")
    if others:
        named = "; ".join(origins.short(path) for path in others[:MOST_NAMED])
        more = f"; and {len(others) - MOST_NAMED} further" if len(others) > MOST_NAMED else ""
        told += f" (and {len(others)} more: {named}{more})"
    return UserError(told)


def dotted(path):
    """A path as it is written: features.age, student_seeds[2]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def show(value):
    """A value as YAML writes it, in one line, cut where it is long."""
    try:
        text = f"'{value}'" if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def nearest(name, names):
    """Returns a sentence that names what was meant, with a space before it; nothing where no name is near."""
    found = difflib.get_close_matches(str(name), [str(each) for each in names], n=1)
    return f" Did you mean '{found[0]}'?" if found else ""


def _translate(detail, values, schema):
    """Returns (path, message); the message is None for a mistake in a default that was copied from another key."""
    kind, location = detail["type"], tuple(detail["loc"])
    context = detail.get("ctx", {})
    place = find_place(location, schema)
    path = place.path
    if not _written(path if kind != "missing" else path[:-1], values):
        return path, None
    if kind == "impossible":
        below = (int(part) if part.isdecimal() else part for part in context["key"].split(".") if part)
        return (*path, *below), context["message"]
    if kind == "missing":
        return path, f"missing. Expected {place.expected} ({place.description})"
    if kind == "extra_forbidden":
        return path, _unknown_key(path[-1], location, schema)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        found = sections(place.annotation)
        key = tag_of(next(iter(found.values())))[0]
        if kind == "union_tag_not_found":
            return (*path, key), f"missing. Expected {one_of(tuple(found))}"
        received = detail["input"].get(key) if isinstance(detail["input"], dict) else detail["input"]
        return (*path, key), _unexpected(one_of(tuple(found)), received, found)
    if kind == "too_short" and len(detail["input"]) >= context["min_length"]:
        return path, None  # every item is wrong, which is told of the items
    choices = context.get("expected", "").split("'")[1::2] if kind == "literal_error" else ()
    return path, _unexpected(place.expected, detail["input"], choices)


def _unexpected(expected, received, choices=()):
    told = f"expected {expected}, received {show(received)}"
    if isinstance(received, str) and nearest(received, choices):
        return f"{told}.{nearest(received, choices)}"
    if isinstance(received, bool | int | float) and expected.split(" or ")[0] in ("text", "a path"):
        return f"{told}. Put it in quotes"
    return told


def _unknown_key(key, location, schema):
    """Says which keys there are, or that this one belongs to another kind of data or model."""
    parent = find_place(location[:-1], schema)
    section = next(iter(sections(parent.annotation).values()))
    tag_key, tag = tag_of(section)
    siblings = sections(find_place(location[:-2], schema).annotation) if tag_key else {}
    owners = [name for name, sibling in siblings.items() if name is not None and key in sibling.model_fields]
    if owners:
        return f"only with {tag_key} {' or '.join(map(repr, owners))}, this {tag_key} is {tag!r}. Remove it"
    return f"unknown key.{nearest(key, section.model_fields)} Keys here: {', '.join(section.model_fields)}"


def _sentence(text):
    return text if text.endswith((".", "?")) else text + "."


def _written(path, values):
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
