"""What Chez costs, beside what the work itself costs: `python -m benchmarks [ID…]`.

    harness.py   figures, runs, results; the JSON and its shape
    report.py    the table on the terminal, and docs/benchmarks.md
    side_by_side.py plot.py numbers.py    the stores' table and plot on that page
    store.py stores.py queries.py live.py sync.py     what is measured, by theme
    imports.py gigabyte.py jobs.py sandbox.py feeds.py membership.py reconnect.py
    relay.py cluster.py load.py lines.py bare.py    relays under load, and what loads them
    scale.py capacity.py played.py    docs/scale.md: a model of ten million devices, and simulations beside it
    device.py job_once.py query_once.py store_once.py    processes that the themes start
    peers/       other software doing the same work, installed on first use
"""

__all__ = ()
