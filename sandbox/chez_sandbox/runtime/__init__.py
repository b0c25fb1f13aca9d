"""Running foreign code: a WebAssembly component inside a walled worker process.

    host.py       the parent's side: `Runtime`, the public part
    handover.py   what a job is handed and hands back, checked
    spare.py      workers started ahead of their jobs
    forking.py    workers forked by a zygote
    compiled.py   native code compiled once per device, checked, in a sealed memory file
    artifact.py   where the Python runtime is
    build.py      how it is built, for bin/setup and for the wheel
    zygote.py     the process that forks workers
    worker.py     the worker process: one run, then it ends
    walls.py      what the operating system denies the worker
    engine.py     how WebAssembly is compiled and run
    tables.py     the granted rows: batches, and SQL under an authorizer
    messages.py   what parent and worker tell each other
    guest/        the Python that runs inside the component

Nothing is imported here (the worker imports this package).
"""

__all__ = ()
