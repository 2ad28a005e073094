"""From a recipe file to a checked `Recipe`: text, `--set` overrides, schema, and the files that it names."""

import difflib
import re
from pathlib import Path

from pydantic import ValidationError

from tfdistill.errors import UserError
from tfdistill.recipes.catalogue import find_recipe
from tfdistill.recipes.loading_errors import Origins, dotted, explain, mistake, show
from tfdistill.recipes.loading_yaml import read_text, read_yaml
from tfdistill.recipes.schema import Recipe
from tfdistill.recipes.schema_retrieval import RetrievalRecipe

RETRIEVAL = "retrieval"


def load_recipe(path_or_name, overrides=()):
    """Reads, overrides and checks a recipe.

    Args:
        path_or_name: a YAML file, or the name of a built-in recipe.
        overrides: texts "a.b=value" or "a[0].b=value", applied in order; a value is YAML, and null puts a key back to its
            default.

    Returns: a `Recipe`, or a `RetrievalRecipe` where the recipe says task: retrieval, with absolute paths.

    Raises:
        UserError: one line with the line or the override, the key, what was expected and what came.

    >>> load_recipe("quickstart", ["distill.losses[0].temperature=2"]).distill.losses[0].temperature
    2.0
    """
    file = find_recipe(path_or_name)
    values, lines = read_yaml(read_text(file), str(file))
    if values is None:
        raise UserError(f"{file}: the recipe is empty. Start from a built-in one: tfdistill recipes quickstart.")
    if not isinstance(values, dict):
        raise UserError(f"{file}: expected a mapping of keys to values, received {show(values)}.")
    origins = Origins(str(file), lines)
    for override in overrides:
        _apply(override, values, origins)
    if "name" not in values:
        values["name"] = file.stem
        origins.override(("name",), f"{file}: name (the file's, since the recipe gives none)")
    if values.get("task", RETRIEVAL) != RETRIEVAL:
        told = f"expected 'retrieval', or no such key, since data.source says what is learned, received {show(values['task'])}"
        raise mistake(told, ("task",), origins)
    schema = schema_of(values)
    try:
        recipe = schema.model_validate(values)
    except ValidationError as error:
        raise explain(error, values, origins, schema) from None
    check_files(recipe, origins)
    return recipe


def schema_of(values):
    """The schema of a recipe with these keys: `RetrievalRecipe` where it says task: retrieval, else `Recipe`."""
    return RetrievalRecipe if values.get("task") == RETRIEVAL else Recipe


def check_files(recipe, origins):
    """Raises `UserError` where a file or a folder that the recipe names is not there or not what it should be."""
    from tfdistill.data.mnist import holds_mnist

    data = recipe.data
    if data.task == RETRIEVAL:
        _check_retrieval_files(recipe, origins)
        return
    if data.source == "table":
        _check_file(Path(data.path), ("data", "path"), origins, "a CSV, TSV or Parquet file")
    elif data.source == "movielens_1m" and data.path is not None and not (Path(data.path) / "ratings.dat").is_file():
        message = f"expected a folder with ratings.dat, users.dat and movies.dat, received {show(data.path)}"
        raise mistake(message, ("data", "path"), origins)
    elif data.source == "mnist" and data.path is not None and not holds_mnist(data.path):
        message = f"expected a folder with the four idx .gz files or mnist.npz, received {show(data.path)}"
        raise mistake(message, ("data", "path"), origins)
    several = recipe.teacher.load is not None and len(recipe.teacher.load) > 1
    for number, path in enumerate(recipe.teacher.load or ()):
        _check_teacher(recipe.teacher, Path(path), ("teacher", "load", *([number] if several else [])), origins)


def _check_retrieval_files(recipe, origins):
    data, key = recipe.data, ("data", "path")
    path = getattr(data, "path", None)
    if path is not None and data.source.startswith("movielens"):
        if not Path(path).is_dir():
            raise mistake(f"expected the folder of the data set, received {show(path)}", key, origins)
    elif path is not None:
        _check_file(Path(path), key, origins, "a file")
    if recipe.teacher.load is not None:
        _check_file(Path(recipe.teacher.load), ("teacher", "load"), origins, "a .keras file")


def _check_teacher(teacher, path, key, origins):
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            message = f"expected a .keras file or a SavedModel folder, but {show(str(path))} has no saved_model.pb"
            raise mistake(message, key, origins)
        return
    _check_file(path, key, origins, "a .keras file or a SavedModel folder")
    if path.suffix != ".keras":
        raise mistake(f"expected a .keras file or a SavedModel folder, received {show(str(path))}", key, origins)
    if teacher.signature is not None:
        raise mistake("only for a SavedModel folder; a .keras file has none", ("teacher", "signature"), origins)


def _check_file(path, key, origins, wanted):
    if path.is_file():
        return
    if path.exists():
        raise mistake(f"expected {wanted}, but {show(str(path))} is a folder", key, origins)
    neighbours = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, neighbours, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    relative = "a relative path starts at the current folder"
    raise mistake(f"no such file: {path} (expected {wanted}; {relative}).{hint}", key, origins)


def _apply(override, values, origins):
    """Sets one key in `values`, making the sections on the way where they are missing."""
    key, equals, text = override.partition("=")
    path = _path(key)
    if not equals or not path:
        raise UserError(f"--set {override}: expected KEY=VALUE, such as --set distill.unrated_ratio=1.")
    option = f"--set {dotted(path)}"
    value, _ = read_yaml(text, option)
    section = values
    for depth, part in enumerate(path[:-1], start=1):
        _check_holds(section, path[:depth], option)
        if not isinstance(part, int) and section.get(part) is None:
            if value is None:
                return  # nothing to put back
            section[part] = [] if isinstance(path[depth], int) else {}
            origins.override(path[:depth], option)
        section = section[part]
    _check_holds(section, path, option)
    if value is None and isinstance(path[-1], int):
        raise UserError(f"{option}: an item of a list has no default. Set the whole of {dotted(path[:-1])}.")
    if value is None:
        section.pop(path[-1], None)
        origins.override(path, None)
    else:
        section[path[-1]] = value
        origins.override(path, option)


def _path(key):
    """("a", 0, "b") of "a[0].b", or `None` where it is no path."""
    path = []
    for part in key.split("."):
        name = re.fullmatch(r"\s*([^\[\]]*[^\[\]\s])\s*((?:\[\d+\])*)\s*", part)
        if name is None:
            return None
        path += [name[1], *(int(number) for number in re.findall(r"\d+", name[2]))]
    return tuple(path)


def _check_holds(section, path, option):
    """Raises `UserError` unless `section` can hold what the last part of the path names."""
    above, part = dotted(path[:-1]), path[-1]
    if not isinstance(part, int):
        if not isinstance(section, dict):
            raise UserError(f"{option}: {above} has no keys below it, it is {show(section)}.")
    elif not isinstance(section, list):
        raise UserError(f"{option}: {above} is no list, it is {show(section)}.")
    elif part >= len(section):
        raise UserError(
            f"{option}: {above} has {len(section)} items in the recipe file, no [{part}]. Set the whole list."
        )
