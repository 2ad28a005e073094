"""Where the commands print: colours on a terminal, plain unfolded text anywhere else."""

import sys

from rich.console import Console

PLAIN_WIDTH = 160


def console():
    """Returns a `rich` console on the present standard output."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
