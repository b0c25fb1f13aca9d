"""How much processor time a program took."""

import os
from pathlib import Path

__all__ = ("processor",)


def processor(process: int) -> float:
    """Seconds of processors that a process has had so far, all its threads together, its own and the system's."""
    # The name of the program, in brackets, may have spaces.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
