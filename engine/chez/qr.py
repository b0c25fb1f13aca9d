"""QR codes (ISO/IEC 18004) of short texts, by `segno`: for paper and for terminals.

Nothing of it goes through a file or another program: what is shown may be a secret.
"""

import io
from itertools import zip_longest

__all__ = ("blocks", "svg")

QUIET = 4
"""Light modules around a code, as the standard asks."""


def svg(text: str) -> str:
    """The code of a text as an SVG element that stands inside an HTML page."""
    import segno

    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", xmldecl=False, svgns=False, border=QUIET, nl=False)
    return out.getvalue().decode()


def blocks(text: str) -> list[str]:
    """The code of a text in lines of block characters, two rows of modules a line; ink is dark.

    On paper as it is; at a terminal in dark letters on a light ground.
    """
    import segno

    rows = [[bool(module) for module in row]
            for row in segno.make(text, error="m", micro=False).matrix_iter(border=QUIET)]
    upper, lower = rows[0::2], rows[1::2]
    return ["".join(" ▄▀█"[2 * top + bottom] for top, bottom in zip_longest(above, below or [], fillvalue=False))
            for above, below in zip_longest(upper, lower)]
