"""Everything about the package stands in pyproject.toml; this file adds the one thing that cannot be said there.

The recipes live at the top of the repository, where people look for them, and travel inside the wheel as
tfdistill/recipes/library, so that `tfdistill run quickstart` works from anywhere.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RECIPES = Path(__file__).parent / "recipes"


class BuildWithRecipes(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return  # an editable install reads the checkout's own recipes/
        library = Path(self.build_lib, "tfdistill", "recipes", "library")
        self.mkpath(str(library))
        for recipe in sorted(RECIPES.rglob("*.yaml")):
            self.copy_file(str(recipe), str(library / recipe.name))


setup(cmdclass={"build_py": BuildWithRecipes})
