"""What a run tells while it works: a bar with examples/s and time left on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
import warnings
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

_PACKAGE = str(Path(__file__).resolve().parents[1])


class _Speed(ProgressColumn):
    def render(self, task):
        return Text(f"{task.speed:,.0f} {task.fields['unit']}/s" if task.speed else "")


class Reporter:
    """Prints the stages of a run.

    Args:
        quiet: say nothing but warnings and the result.
        console: where to print; standard output by default.
    """

    def __init__(self, quiet=False, console=None):
        self.quiet = quiet
        self.console = console or Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._bar = None

    def say(self, text):
        """One line, unless quiet."""
        if not self.quiet:
            self.console.print(text, markup=False)

    def warn(self, text):
        """One line that is printed even when quiet."""
        self.console.print(f"note: {text}", markup=False)

    @contextlib.contextmanager
    def showing_warnings(self):
        """While it lasts, a warning of this package is a line like any other, without file and code."""
        with warnings.catch_warnings():
            show = warnings.showwarning

            def say(message, category, filename, *rest):
                if str(filename).startswith(_PACKAGE):
                    self.warn(str(message))
                else:
                    show(message, category, filename, *rest)

            warnings.showwarning = say
            yield

    @contextlib.contextmanager
    def stage(self, title, position, count):
        """Around the work of one stage; yields `tell(done, total, unit="examples", what=None)`."""
        label = f"[{position}/{count}] {title}"
        started = time.perf_counter()
        if self.quiet or not self.console.is_terminal:
            if not self.quiet:
                self.say(label)
            yield lambda done, total, unit="examples", what=None: None
        else:
            columns = [
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                _Speed(),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                TextColumn("{task.fields[what]}", markup=False, style="dim"),
            ]
            with Progress(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task(label, total=None, unit="examples", what="")

                def tell(done, total, unit="examples", what=None):
                    bar.update(task, completed=done, total=total, unit=unit, what=what or "")

                yield tell
        self.say(f"{label}  done in {duration(time.perf_counter() - started)}")


def duration(seconds):
    """Seconds as people say them.

    >>> duration(0.42), duration(75), duration(3700)
    ('0.4 s', '1 min 15 s', '1 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
