"""How much memory a program had."""

from pathlib import Path

__all__ = ("most", "peak", "resident")


def peak() -> float:
    """The most memory of this program so far, in megabytes; getrusage would also count that of who started it."""
    return _megabytes("self", "VmHWM:")


def resident(process: int) -> float:
    """The memory of a process now, in megabytes."""
    return _megabytes(str(process), "VmRSS:")


def most(process: int) -> dict[int, float]:
    """The most memory so far of a process and of each of its children, in megabytes, by process id; those that live."""
    found = {}
    children: list[str] = []
    try:
        threads = [path.name for path in Path(f"/proc/{process}/task").iterdir()]
        for thread in threads:
            children += Path(f"/proc/{process}/task/{thread}/children").read_text().split()
    except OSError:
        return {}
    for one in {process, *map(int, children)}:
        try:
            found[one] = _megabytes(str(one), "VmHWM:")
        except (OSError, SystemExit):  # it is ending: its memory is gone already
            continue
    return found


def _megabytes(process: str, field: str) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("this system does not tell the memory of a process")
