"""The recipes that come with tfdistill, found by name from anywhere."""

import difflib
from pathlib import Path

from tfdistill.errors import UserError
from tfdistill.recipes.loading_yaml import read_text, read_yaml


def library_folder():
    """Returns the folder of built-in recipes: package data of an installed wheel, or `recipes/` of the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "library"
    return installed if installed.is_dir() else package.parent.parent / "recipes"


def recipe_files():
    """Returns {name: file} of the built-in recipes, by name."""
    return {file.stem: file for file in sorted(library_folder().rglob("*.yaml"), key=lambda file: file.stem)}


def find_recipe(name_or_path):
    """Returns the file of a recipe: an existing file as it is, otherwise the built-in recipe of that name.

    Args:
        name_or_path: a path to a YAML file, or a name of the library with or without ".yaml".

    Raises:
        UserError: there is neither; names what comes nearest.

    >>> find_recipe("quickstart").name
    'quickstart.yaml'
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    built_in = recipe_files()
    name = str(name_or_path).removesuffix(".yaml").removesuffix(".yml")
    if name in built_in:
        return built_in[name]
    if path.is_dir():
        raise UserError(f"{name_or_path}: is a folder. Pass a recipe file (YAML) or one of {_listed(built_in)}.")
    if path.exists():
        raise UserError(f"{name_or_path}: is not a regular file. Pass a recipe file (YAML).")
    neighbours = [str(file) for pattern in ("*.yaml", "*.yml") for file in _glob(path.parent, pattern)]
    nearest = difflib.get_close_matches(str(name_or_path), neighbours, n=2, cutoff=0.7)
    nearest += difflib.get_close_matches(Path(name).name, built_in, n=2)
    hint = f" Did you mean {' or '.join(repr(each) for each in nearest)}?" if nearest else ""
    raise UserError(
        f"{name_or_path}: no such recipe file, and no built-in recipe.{hint} Built in: {_listed(built_in)}."
    )


def list_recipes():
    """Returns [(name, description)] of the built-in recipes.

    >>> "quickstart" in dict(list_recipes())
    True
    """
    listed = []
    for name, file in recipe_files().items():
        values, _ = read_yaml(read_text(file), str(file))
        description = values.get("description") if isinstance(values, dict) else None
        listed.append((name, " ".join(str(description or "").split())))
    return listed


def _listed(built_in):
    return ", ".join(built_in) or "(none)"


def _glob(folder, pattern):
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
