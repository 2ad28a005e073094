"""The report of a run: one self-contained HTML file, and the table that ends a run in the terminal."""

from tfdistill.recipes.report.render import write_report
from tfdistill.recipes.report.terminal import summary_table

__all__ = ["summary_table", "write_report"]
