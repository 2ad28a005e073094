"""TensorFlow is imported without its chatter, and without losing what matters."""

import os
import subprocess
import sys
import textwrap

import pytest

CHATTER = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795258026.141339    5101 port.cc:153] oneDNN custom operations are on.
W0000 00:00:1795258033.995244    5101 helpers.cc:364] Ignored output_format.
To enable the following instructions: AVX2, rebuild TensorFlow with the appropriate compiler flags.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
"""
ERRORS = """\
E0000 00:00:1795258031.352098    5101 cuda.cc:52] a real error
F0000 00:00:1795258031.352098    5101 cpu_feature_guard.cc:99] compiled to use AVX, which this machine has not
some other line
"""


@pytest.fixture
def python(tmp_path):
    """Runs code in a new process where `tensorflow` is a stand-in that logs and then does what it is told."""

    def run(code, ending="", **environment):
        (tmp_path / "tensorflow.py").write_text(
            "import contextlib, os\n"
            f"with contextlib.suppress(OSError):\n    os.write(2, {(CHATTER + ERRORS).encode()!r})\n"
            f"value = 5\n{ending}\n"
        )
        kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        path = os.pathsep.join([str(tmp_path), *sys.path])
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**kept, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
        )

    return run


def test_importing_quietly_drops_the_chatter_and_keeps_errors(python):
    answer = python(
        """
        import sys
        from tfdistill._tensorflow import import_quietly
        import_quietly()
        import tensorflow
        print(tensorflow.value)
        print("after", file=sys.stderr)
        """
    )
    assert answer.stdout == "5\n"
    assert answer.stderr == ERRORS + "after\n"


def test_warnings_of_the_python_side_are_held_back_and_errors_are_not(python):
    answer = python(
        """
        import logging
        from tfdistill._tensorflow import import_quietly
        import_quietly()
        logging.getLogger("tensorflow").warning("6 out of the last 6 calls triggered retracing")
        logging.getLogger("tensorflow").error("a real error in Python")
        """
    )
    assert answer.stderr == ERRORS + "a real error in Python\n"


def test_a_later_import_is_quiet_too_whoever_makes_it(python):
    answer = python(
        """
        from tfdistill._tensorflow import quiet_when_imported
        quiet_when_imported()
        import tensorflow
        """
    )
    assert answer.stderr == ERRORS


def test_what_tensorflow_says_before_it_aborts_is_told(python):
    answer = python(
        """
        from tfdistill._tensorflow import import_quietly
        import_quietly()
        """,
        ending="os.abort()",
    )
    assert answer.returncode != 0
    assert answer.stderr == ERRORS


def test_an_import_that_fails_fails_as_always(python):
    answer = python(
        """
        from tfdistill._tensorflow import import_quietly
        try:
            import_quietly()
        except ImportError as error:
            print(error)
        """,
        ending="raise ImportError('a broken installation')",
    )
    assert answer.stdout == "a broken installation\n"


def test_a_user_who_sets_the_log_level_sees_everything(python):
    answer = python(
        """
        from tfdistill._tensorflow import import_quietly
        import_quietly()
        """,
        TF_CPP_MIN_LOG_LEVEL="0",
    )
    assert answer.stderr == CHATTER + ERRORS


def test_a_closed_stderr_does_no_harm(python):
    answer = python(
        """
        import os
        os.close(2)
        from tfdistill._tensorflow import import_quietly
        import_quietly()
        import tensorflow
        print(tensorflow.value)
        """
    )
    assert answer.stdout == "5\n"


def test_the_real_tensorflow_is_imported_in_silence():
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    code = "from tfdistill._tensorflow import import_quietly; import_quietly(); import tensorflow; tensorflow.ones(2)"
    environment = {**kept, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")
