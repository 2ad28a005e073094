"""Imports TensorFlow without its start-up chatter, and without losing a real error."""

import contextlib
import importlib.abc
import importlib.util
import logging
import os
import subprocess
import sys

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# Runs in a process of its own, so that what TensorFlow says before it aborts (a processor without AVX) is still told.
# Chatter: absl's information and warning lines, the notice that absl is not set up yet, LiteRT's "INFO: ..." lines.
_FILTER = r"""
import re, sys
chatter = re.compile(rb"[IW]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::|INFO: |"
                     rb"To enable the following instructions:")
for line in sys.stdin.buffer:
    if not chatter.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def import_quietly():
    """Imports TensorFlow now, silently unless something is wrong.

    A user who sets TF_CPP_MIN_LOG_LEVEL sees what they ask for: nothing is held back then.
    """
    quiet_when_imported()
    importlib.import_module("tensorflow")


def quiet_when_imported():
    """Makes the import of TensorFlow silent whenever it comes; does nothing if it has come already.

    TF_CPP_MIN_LOG_LEVEL takes effect only after the import: its libraries log a few lines while they load, straight to
    file descriptor 2, which is why that is filtered for the time of the import.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if LOG_LEVEL in os.environ:
        return
    os.environ[LOG_LEVEL] = "3"
    logging.getLogger("tensorflow").setLevel(
        logging.ERROR
    )  # what its Python side says: hints on retracing and the like
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder())


@contextlib.contextmanager
def quiet_stderr():
    """Drops informational lines of TensorFlow and LiteRT from this process's stderr; all else goes through."""
    try:
        sys.stderr.flush()
        original = os.dup(2)
    except (OSError, AttributeError):  # stderr is closed or absent: there is nothing to keep quiet
        yield
        return
    try:
        # A session of its own keeps Ctrl-C from ending the filter before this process.
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FILTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        os.close(original)
        yield
        return
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(original, 2)
        os.close(original)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process started meanwhile may still hold the pipe
            child.wait(timeout=2)


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow once, as the ordinary import would, and has it executed under `quiet_stderr`."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_quietly(module):
                with quiet_stderr():
                    execute(module)

            spec.loader.exec_module = execute_quietly
        return spec
