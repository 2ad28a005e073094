"""What a run says besides its result."""

import io
import warnings

import pytest
from rich.console import Console

import tfdistill
from tfdistill.recipes.progress import Reporter


@pytest.mark.filterwarnings("default")
def test_a_warning_of_the_package_is_one_line_without_file_or_code():
    printed = io.StringIO()
    with Reporter(quiet=True, console=Console(file=printed, width=200)).showing_warnings():
        warnings.warn_explicit("Not clustered: logits/kernel (8)", UserWarning, tfdistill.__file__, 1)
        warnings.warn_explicit("of somebody else", UserWarning, "elsewhere.py", 1)
    assert printed.getvalue() == "note: Not clustered: logits/kernel (8)\n"
