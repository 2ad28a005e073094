"""Drawing: elements with everything escaped, and the marker of every format."""

from markupsafe import Markup, escape

_SQUARE = "M-4.8,-4.8H4.8V4.8H-4.8Z"
_CIRCLE = "M-5.2,0A5.2,5.2 0 1 0 5.2,0A5.2,5.2 0 1 0 -5.2,0Z"
_RING = "M-7,0A7,7 0 1 0 7,0A7,7 0 1 0 -7,0Z"
_TRIANGLE = "M0,-6.4L6,4.4H-6Z"
_DIAMOND = "M0,-6.8L6.2,0L0,6.8L-6.2,0Z"
_WEDGE = "M0,6.4L6,-4.4H-6Z"
_BAR = "M-6.6,-2.4H6.6V2.4H-6.6Z"
_COLUMN = "M-2.4,-6.6H2.4V6.6H-2.4Z"
_HOUSE = "M0,-6.4L5.2,-1.2V5H-5.2V-1.2Z"
_CROSS = "M-1.8,-5.6H1.8V-1.8H5.6V1.8H1.8V5.6H-1.8V1.8H-5.6V-1.8H-1.8Z"

MARKERS = {
    "keras": _RING,
    "saved_model": _SQUARE,
    "tflite_float32": _CIRCLE,
    "tflite_float16": _TRIANGLE,
    "tflite_dynamic_int8": _DIAMOND,
    "tflite_weight_only_int8": _BAR,
    "tflite_int8": _WEDGE,
    "tflite_int16": _COLUMN,
    "tflite_int4": _HOUSE,
}


def element(name, *children, **attributes):
    """Returns `<name attributes>children</name>` with texts and attribute values escaped.

    In an attribute's name an underscore stands for a hyphen and one at its end is dropped; None leaves it out.

    >>> element("text", "a < b", class_="tick", text_anchor="end", x=1.25)
    Markup('<text class="tick" text-anchor="end" x="1.2">a &lt; b</text>')
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(map(escape, children)))


def _short(value):
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def marker(format_name, role, **attributes):
    """Returns the marker of a format in the colour of a role; formats without a marker of their own share a cross."""
    hollow = " hollow" if format_name == "keras" else ""
    return element("path", d=MARKERS.get(format_name, _CROSS), class_=f"marker {role}{hollow}", **attributes)


def glyph(format_name, role):
    """Returns a marker as a picture of its own, for legends and tables."""
    return element("svg", marker(format_name, role), class_="glyph", viewBox="-9 -9 18 18", aria_hidden="true")
