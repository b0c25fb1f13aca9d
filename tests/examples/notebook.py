"""Executes the budget notebook in a real kernel; run by test_budget.py in the examples' environment.

    python notebook.py NOTEBOOK OUT
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3",
               resources={"metadata": {"path": str(Path(sys.argv[1]).parent)}}).execute()
nbformat.write(notebook, sys.argv[2])
