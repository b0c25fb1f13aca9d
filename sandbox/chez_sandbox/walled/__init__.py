"""A function of the engine's in a process that the system walls in: how files from outside are parsed.

    launcher.py   the parent's side: `launch`, the entry point of the group `chez.walls`
    process.py    the process: prepares, raises the walls, calls, ends

The walls are those of jobs (`chez_sandbox.runtime.walls`). What the function is, and what
it says to its parent, is the engine's affair (chez/connectors/worker.py).
"""

__all__ = ()
