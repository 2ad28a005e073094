"""The commands about recipes: run, validate, recipes."""

import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from tfdistill.cli_console import console


def run(arguments):
    """`tfdistill run`: the runner itself prints progress, the table and where the report is."""
    from tfdistill._tensorflow import quiet_when_imported
    from tfdistill.recipes import runner
    from tfdistill.recipes.loading import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.set)
    quiet_when_imported()
    runner.run(recipe, output=Path(arguments.output), quiet=arguments.quiet)


def validate(arguments):
    """`tfdistill validate`: one line, or the recipe with all defaults."""
    from tfdistill.recipes.loading import load_recipe
    from tfdistill.recipes.loading_yaml import write_yaml

    recipe = load_recipe(arguments.recipe, arguments.set)
    if arguments.resolved:
        sys.stdout.write(write_yaml(recipe.resolved()))
    else:
        print(f"ok: {recipe.name} (run {recipe.run_name})")


def recipes(arguments):
    """`tfdistill recipes`: the list, the text of one, or all keys."""
    if arguments.keys:
        _print_keys()
        return
    from tfdistill.recipes.catalogue import find_recipe, list_recipes
    from tfdistill.recipes.loading_yaml import read_text

    if arguments.recipe is not None:
        sys.stdout.write(read_text(find_recipe(arguments.recipe)))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it shows")
    for name, description in list_recipes():
        table.add_row(Text(name, style="bold"), Text(description))
    console().print(table)


def _print_keys():
    """A key a paragraph: a table of four columns would fold its text on any ordinary terminal."""
    from tfdistill.recipes.schema import Recipe
    from tfdistill.recipes.schema_keys import every_key
    from tfdistill.recipes.schema_retrieval import RetrievalRecipe

    out = console()
    for schema, title in ((Recipe, "Recipes of clicks and classes"), (RetrievalRecipe, "Recipes with task: retrieval")):
        out.print(Text(title, style="bold underline"))
        for key, kind, default, description in every_key(schema):
            said = f"{kind}, {default}" if default == "required" else f"{kind}, default {default}" if default else kind
            out.print(Text.assemble((key, "bold"), f"  {said}"), soft_wrap=True)
            out.print(Text(f"    {description}"), soft_wrap=True)
