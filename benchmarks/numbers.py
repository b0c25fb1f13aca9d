"""Numbers for people."""

import math

__all__ = ("number",)


def number(value: float) -> str:
    """Three significant digits, thousands apart, no exponent; nothing behind the sixth place."""
    size = math.floor(math.log10(abs(value))) if value else -1
    return f"{value:,.{min(6, max(0, 2 - size))}f}"
