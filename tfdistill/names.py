"""What a field may be called, from the recipe to the exported file."""

import keyword
import re

_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def is_field_name(name):
    """Whether `name` can be an input of an exported model, whose signature takes its inputs as keyword arguments.

    >>> is_field_name("age_band"), is_field_name("age band"), is_field_name("class")
    (True, False, False)
    """
    return _FIELD_NAME.fullmatch(name) is not None and not keyword.iskeyword(name) and name != "self"
