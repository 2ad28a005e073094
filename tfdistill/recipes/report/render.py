"""Puts the parts of the report together and writes the file."""

import functools
import shlex
from pathlib import Path

import jinja2
import yaml
from markupsafe import Markup

from tfdistill.files import atomic_path
from tfdistill.recipes.report import formatting, headline, plots, sections, tables
from tfdistill.recipes.report.entries import read_entries
from tfdistill.recipes.report.reading import dig, read_run
from tfdistill.recipes.report.svg import glyph

_HERE = Path(__file__).parent


def write_report(run_folder):
    """Writes report.html of a run from its manifest.json and metrics.json, and returns its path.

    The report is one file that needs no other and no network: styles, script and charts are inside. Numbers that are
    missing show as an en dash.

    Args:
        run_folder: Folder of a run, saved_models/<recipe>/<run>.

    Returns:
        The `pathlib.Path` of the report.

    Raises:
        tfdistill.errors.UserError: manifest.json or metrics.json is missing, damaged or of an unknown format.

    Example:
        ```python
        path = write_report("saved_models/quickstart/3fa94c01d2")  # saved_models/quickstart/3fa94c01d2/report.html
        ```
    """
    manifest, metrics = read_run(run_folder)
    page = _template().render(**_content(manifest, metrics))
    path = Path(run_folder) / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


@functools.cache
def _template():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["glyph"] = glyph
    return environment.get_template("report.html.jinja")


def _content(manifest, metrics):
    entries = read_entries(metrics)
    recipe = manifest.get("resolved_recipe") if isinstance(manifest.get("resolved_recipe"), dict) else {}
    name = str(manifest.get("recipe") or recipe.get("name") or "run")
    roles, formats = plots.legend(entries)
    facts, fields = sections.data_facts(metrics)
    return {
        "style": Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        "name": name,
        "description": recipe.get("description") or "",
        "date": formatting.date(manifest.get("finished") or manifest.get("created")),
        "run": manifest.get("run") or formatting.MISSING,
        "sentence": headline.sentence(metrics, entries),
        "figures": headline.figures(metrics, entries),
        "charts": plots.quality_charts(entries, metrics),
        "roles": roles,
        "formats": formats,
        "quality": tables.quality_table(entries),
        "cost": tables.cost_table(entries),
        "artifact_seeds": sections.artifact_seeds(metrics),
        "conditions": sections.conditions(metrics),
        "processor": dig(manifest, "environment", "processor"),
        "cores": dig(manifest, "environment", "cores"),
        "training": plots.training_charts(metrics),
        "speeds": sections.training_speed(metrics),
        "layers": sections.model_layers(metrics),
        "tensors": sections.artifact_tensors(metrics),
        "facts": facts,
        "fields": fields,
        "stages": sections.stages(manifest),
        "stages_total": sections.stages_total(manifest),
        "files": sections.files(manifest),
        "recipe": yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None),
        "command": f"tfdistill run {shlex.quote(f'{name}.yaml')}",
        "environment": sections.environment(manifest),
    }
