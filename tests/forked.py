"""Processes that begin in milliseconds: forked from a server that has loaded everything, also what is loaded when it
is first used, and has no thread (multiprocessing's `forkserver`). A process has one such server, so what all of them
need is named here.
"""

import multiprocessing

__all__ = ("PROCESSES",)

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([
    "tests.durability.running", *(f"chez.connectors.{name}" for name in ("lines", "linky", "ofx", "tempo")),
    "tests.checkpoints.dying", "tests.cli.forks", "chez.agent.running", "chez.cli.commands.up", "chez.cli.passphrases",
    "chez.home.home", "tests.home.keeping",
])
