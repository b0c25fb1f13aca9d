"""How much memory a program had."""

from pathlib import Path

__all__ = ("peak", "resident")


def peak() -> float:
    """The most memory of this program so far, in megabytes; getrusage would also count that of who started it."""
    return _megabytes("self", "VmHWM:")


def resident(process: int) -> float:
    """The memory of a process now, in megabytes."""
    return _megabytes(str(process), "VmRSS:")


def _megabytes(process: str, field: str) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("this system does not tell the memory of a process")
