"""What the schema says about a key, in words: for messages about a mistake and for `tfdistill recipes --keys`."""

import functools
import operator
import types
import typing
from dataclasses import dataclass

from pydantic import Tag
from pydantic.fields import FieldInfo

from tfdistill.recipes.schema import Recipe
from tfdistill.recipes.schema_schedules import SCHEDULES
from tfdistill.recipes.schema_types import NAME, NUMBER, Section


@dataclass(frozen=True)
class Place:
    """A place in a recipe: its path as written there, what may stand there and what it means."""

    path: tuple
    annotation: object
    metadata: tuple = ()
    description: str = ""

    @property
    def expected(self):
        """What may stand here, in words."""
        return expectation(self.annotation, self.metadata)


def find_place(location, schema=Recipe):
    """Follows a location of a pydantic error through the schema; the tags that pydantic puts into it are left out.

    >>> find_place(("student", "model", "mlp", "embedding_width")).expected
    'a whole number of at least 1'
    """
    place = Place((), schema)
    for part in location:
        annotation, _, _ = _unwrap(place.annotation)
        choices = sections(annotation)
        member = _tagged(annotation, part)
        if member is not None:
            # What is no mapping and no list may be meant as either: then all that may stand here is told.
            place = place if part in (NUMBER, NAME) else Place(place.path, member)
            continue
        if len(choices) > 1:
            chosen = choices.get(part)
            if chosen is not None:
                place = Place(place.path, chosen)
                continue
        section = next(iter(choices.values()), None)
        below = (*place.path, part)
        field = section.model_fields.get(part) if section else None
        if field is not None:
            place = Place(below, field.annotation, tuple(field.metadata), field.description or "")
        elif typing.get_origin(annotation) is dict:
            place = Place(below, typing.get_args(annotation)[1])
        elif typing.get_origin(annotation) is tuple:
            place = Place(below, typing.get_args(annotation)[0])
        else:
            place = Place(below, object)
    return place


def sections(annotation):
    """Returns {tag: section} of the sections that may stand here; the tag of a lone section is `None`."""
    annotation, _, _ = _unwrap(annotation)
    members = [_unwrap(member)[0] for member in typing.get_args(annotation)] if _is_union(annotation) else [annotation]
    members = [member for member in members if isinstance(member, type) and issubclass(member, Section)]
    if len(members) == 1:
        return {None: members[0]}
    return {tag_of(member)[1]: member for member in members}


def tag_of(section):
    """Returns (key, value) that tells a section from its siblings, ("kind", "mlp"); (None, None) for a lone one."""
    for key in ("kind", "source"):
        field = section.model_fields.get(key)
        if field is not None and field.is_required() and len(typing.get_args(field.annotation)) == 1:
            return key, typing.get_args(field.annotation)[0]
    return None, None


def expectation(annotation, metadata=()):
    """What may stand at a key, in words.

    >>> expectation(int), expectation(float | None)
    ('a whole number', 'a number or null')
    """
    annotation, metadata, is_optional = _unwrap(annotation, metadata)
    found = sections(annotation)
    number = _number_in(annotation)
    said = next((each for each in metadata if isinstance(each, str)), None)
    if said is not None:
        words = said
    elif number is not None:
        words = f"{expectation(number)}, or a mapping with {_tags(found)}"
    elif found:
        keys = ", ".join(next(iter(found.values())).model_fields)
        words = f"a mapping with the keys {keys}" if len(found) == 1 else f"a mapping with {_tags(found)}"
    elif typing.get_origin(annotation) is typing.Literal:
        words = one_of(typing.get_args(annotation))
    elif typing.get_origin(annotation) is dict:
        words = "a mapping of names to " + expectation(typing.get_args(annotation)[1])
    elif typing.get_origin(annotation) is tuple:
        words = f"a list, each item {expectation(typing.get_args(annotation)[0])}"
        words = words.replace("a list", "a list of at least one", 1) if _bound(metadata, "min_length") else words
    elif annotation is int:
        words = "a whole number" + _bounds(metadata)
    elif annotation is float:
        words = "a number" + _bounds(metadata)
    else:
        words = "text"
    return words + (" or null" if is_optional else "")


def one_of(values):
    """'a' or one of 'a', 'b', as a message says it."""
    return ("one of " if len(values) > 1 else "") + ", ".join(repr(value) for value in values)


def every_key(schema=Recipe):
    """Yields (key, type, default, description) of every key of a recipe, sections before what they hold.

    An item of a list is "[]", a name of yours is "NAME". What may stand in the place of a number comes last.
    """
    yield from _keys_below(schema, "")
    yield from _keys_of_choices({tag_of(schedule)[1]: schedule for schedule in SCHEDULES}, "SCHEDULE")


def _keys_below(section, prefix, skip=None):
    for name, field in section.model_fields.items():
        if name == skip:
            continue
        key = prefix + name
        extra = field.json_schema_extra or {}
        if "keys_of" in extra:
            yield key, f"a mapping with the keys of {extra['keys_of']}", "", field.description
            continue
        annotation, _, _ = _unwrap(field.annotation)
        found = {} if _number_in(annotation) is not None else sections(annotation)
        below, place = _held(annotation)
        held = sections(below) if below is not None else {}
        if found or held:
            words = "a list of mappings" if place == "[]" else "a mapping"
        else:
            words = expectation(field.annotation, tuple(field.metadata))
        yield key, words, "" if found and not field.is_required() else _default(field), field.description or ""
        yield from _keys_of_choices(held or found, key + place if held else key)


def _held(annotation):
    """(what an item of a list or of a mapping of names is, how its key is written)."""
    if typing.get_origin(annotation) is dict:
        return typing.get_args(annotation)[1], ".NAME"
    if typing.get_origin(annotation) is tuple:
        return typing.get_args(annotation)[0], "[]"
    return None, ""


def _keys_of_choices(found, key):
    tags = {tag: tag_of(section)[0] for tag, section in found.items() if tag is not None}
    if tags:
        tag_key = next(iter(tags.values()))
        meanings = "; ".join(f"{tag}: {found[tag].__doc__.splitlines()[0].removesuffix('.')}" for tag in tags)
        yield f"{key}.{tag_key}", one_of(tuple(tags)), "required", meanings
    seen = {}
    for tag, section in found.items():
        for line in _keys_below(section, f"{key}.", skip=tags.get(tag)):
            seen.setdefault(line, []).append(tag)
    for (name, words, default, description), members in seen.items():
        yield name, words, default, description + _only_with(members, found, tags)


def _only_with(members, found, tags):
    """Which of the sections have a key, in as few names as it takes."""
    others = [tag for tag in found if tag not in members]
    if not others:
        return ""
    if len(others) < len(members) / 2:
        return f" (not {tags[members[0]]} {' or '.join(others)})"
    return f" ({tags[members[0]]} {' or '.join(members)} only)"


def _default(field):
    if field.json_schema_extra:
        return field.json_schema_extra["shown_default"]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value == {}:
        return ""
    if isinstance(value, tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return {None: "null", "": "''"}.get(value, str(value))


def _number_in(annotation):
    """The type of the number that a section may stand in place of, or `None`."""
    if not (_is_union(annotation) and sections(annotation)):
        return None
    return next((member for member in typing.get_args(annotation) if _unwrap(member)[0] is float), None)


def _tagged(annotation, tag):
    """The member of a union that pydantic calls so, or `None`."""
    for member in typing.get_args(annotation) if _is_union(annotation) else ():
        if any(isinstance(said, Tag) and said.tag == tag for said in _unwrap(member)[1]):
            return member
    return None


def _tags(found):
    return f"{next(tag_of(section)[0] for section in found.values())}: {one_of(tuple(found))}"


def _is_union(annotation):
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _unwrap(annotation, metadata=()):
    """Takes Annotated and Optional apart: (the type itself, all that is said about it, whether it may be null)."""
    is_optional = False
    while True:
        members = typing.get_args(annotation)
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, *said = members
            metadata = (*metadata, *said)
        elif _is_union(annotation) and type(None) in members:
            is_optional = True
            annotation = functools.reduce(operator.or_, (member for member in members if member is not type(None)))
        else:
            break
    flat = [each for item in metadata for each in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return annotation, tuple(flat), is_optional


def _bound(metadata, name):
    for item in metadata:
        if getattr(item, name, None) is not None:
            return getattr(item, name)
    return None


def _bounds(metadata):
    lowest, above = _bound(metadata, "ge"), _bound(metadata, "gt")
    highest, below = _bound(metadata, "le"), _bound(metadata, "lt")
    if lowest is not None and highest is not None:
        return f" from {lowest} to {highest}"
    words = f" of at least {lowest}" if lowest is not None else f" above {above}" if above is not None else ""
    if below is not None:
        words += (" and" if words else "") + f" below {below}"
    return words
