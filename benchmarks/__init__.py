"""What Chez costs, beside what the work itself costs: `python -m benchmarks [ID…]`.

    harness.py   figures, runs, results; the JSON and its shape
    report.py    the table on the terminal, and docs/benchmarks.md
    store.py queries.py sync.py imports.py jobs.py    what is measured, by theme
    device.py echo.py job_once.py query_once.py       processes that the themes start
    peers/       other software doing the same work, installed on first use
"""

__all__ = ()
