"""YAML to plain values that remember their lines: no tags, no repeated keys, numbers as people write them."""

import re

import yaml

from tfdistill.errors import UserError

MOST_VALUES = 100_000
MAPPING = "tag:yaml.org,2002:map"
SEQUENCE = "tag:yaml.org,2002:seq"
TAG_PREFIX = "tag:yaml.org,2002:"
SCALARS = ("str", "int", "float", "bool", "null")


class RecipeLoader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2: `1e-3` is a number, `no` and `2024-01-01` are text, 010 is ten.

    PyYAML reads YAML 1.1, where a number needs a dot to have an exponent, `no` is false and 010 is eight.
    """

    yaml_implicit_resolvers = {}


def _resolve(kind, pattern, first_characters):
    RecipeLoader.add_implicit_resolver(TAG_PREFIX + kind, re.compile(pattern), first_characters)


_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF"))
_resolve("int", r"^(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789"))
_resolve(
    "float",
    r"^(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    list("-+.0123456789"),
)
_resolve("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""])
_resolve("merge", r"^(?:<<)$", ["<"])


class RecipeDumper(yaml.SafeDumper):
    """Writes what `RecipeLoader` reads back the same: text that it would take for a number is quoted."""

    yaml_implicit_resolvers = RecipeLoader.yaml_implicit_resolvers


def write_yaml(value):
    """Returns plain values as YAML, in their order, the innermost mappings and lists in one line.

    >>> write_yaml({"name": "1e-3", "train": {"learning_rate": 0.001}})
    "name: '1e-3'\\ntrain: {learning_rate: 0.001}\\n"
    """
    return yaml.dump(
        value, Dumper=RecipeDumper, sort_keys=False, allow_unicode=True, width=160, default_flow_style=None
    )


def _integer(loader, node):
    text = loader.construct_scalar(node).replace("_", "")
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


RecipeLoader.add_constructor(TAG_PREFIX + "int", _integer)


def read_text(file):
    """Returns a recipe file's text; anything but UTF-8 is a `UserError`."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start}). Save the recipe as UTF-8.") from None


def read_yaml(text, source):
    """Reads one YAML document.

    Args:
        text: the document.
        source: what to call it in messages: a file name, or "--set seed".

    Returns: `(value, lines)`: plain dicts, lists and scalars, and {path: line} where a path is a tuple of keys and
        positions, and a line counts from 1. An empty document is `None`.

    Raises:
        UserError: broken syntax, a tag, a key twice or not text; with the line, and the column where that helps.

    >>> read_yaml("seed: 1\\ndata: {users: 1e3}", "x.yaml")
    ({'seed': 1, 'data': {'users': 1000.0}}, {('seed',): 1, ('data',): 2, ('data', 'users'): 2})
    """
    try:
        loader = RecipeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        reader = _Reader(loader, source)
        return reader.value(node, ()), reader.lines
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{source} line {line}: the character {chr(error.character)!r} is not allowed in YAML."
        ) from None
    except RecursionError:
        raise UserError(f"{source}: the YAML is nested too deeply.") from None


def _syntax_error(error, source):
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context
    if "'\\t'" in problem:
        problem += " (a tab); indent with spaces"
    elif mark is not None and "mapping values are not allowed" in problem:
        problem += "; put text that holds ': ' in quotes, and check the indentation"
    place = f" line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return UserError(f"{source}{place}: not valid YAML: {problem}.")


class _Reader:
    """Walks the node graph of one document, noting lines as it goes."""

    def __init__(self, loader, source):
        self.loader, self.source = loader, source
        self.lines = {}
        self.count = 0
        self.open = set()  # nodes being read, to see an anchor that holds itself
        self.checked = set()

    def value(self, node, path):
        self.count += 1
        if self.count > MOST_VALUES:
            raise UserError(f"{self.source}: more than {MOST_VALUES} values. Aliases (*name) may be multiplying.")
        if id(node) in self.open:
            raise self.error(node, "an anchor that holds itself")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        is_mapping = isinstance(node, yaml.MappingNode)
        if node.tag != (MAPPING if is_mapping else SEQUENCE):
            raise self.tag_error(node)
        self.open.add(id(node))
        try:
            return self.mapping(node, path) if is_mapping else self.sequence(node, path)
        finally:
            self.open.remove(id(node))

    def scalar(self, node):
        if node.tag.removeprefix(TAG_PREFIX) not in SCALARS:
            raise self.tag_error(node)
        try:
            return self.loader.construct_object(node)
        except ValueError as error:
            raise self.error(node, f"cannot read {node.value[:40]!r}: {error}") from None

    def mapping(self, node, path):
        self.refuse_repeated_keys(node)
        self.loader.flatten_mapping(node)  # puts what `<<` brings before the mapping's own keys, which therefore win
        result = {}
        for key_node, value_node in node.value:
            key = self.key(key_node)
            below = (*path, key)
            if key in result:
                self.forget_below(below)
            self.lines[below] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, below)
        return result

    def forget_below(self, path):
        """Drops the lines of what a merge brought once the mapping's own key replaces it."""
        for known in [known for known in self.lines if known[: len(path)] == path]:
            del self.lines[known]

    def refuse_repeated_keys(self, node):
        if id(node) in self.checked:
            return
        self.checked.add(id(node))
        first_lines = {}
        for key_node, _ in node.value:
            key = "<<" if key_node.tag == TAG_PREFIX + "merge" else self.key(key_node)
            line = key_node.start_mark.line + 1
            if key in first_lines:
                raise self.error(key_node, f"the key {key!r} is there twice (first in line {first_lines[key]})")
            first_lines[key] = line

    def key(self, node):
        key = self.value(node, ()) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            shown = node.value if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
            raise self.error(node, f"expected a key that is text, received {shown}. Put it in quotes")
        return key

    def sequence(self, node, path):
        result = []
        for position, item in enumerate(node.value):
            below = (*path, position)
            self.lines[below] = item.start_mark.line + 1
            result.append(self.value(item, below))
        return result

    def tag_error(self, node):
        tag = node.tag.replace(TAG_PREFIX, "!!")
        return self.error(node, f"the tag {tag} is not allowed; a recipe has only text, numbers, lists and mappings")

    def error(self, node, message):
        return UserError(f"{self.source} line {node.start_mark.line + 1}: {message}.")
