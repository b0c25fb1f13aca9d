"""The budget notebook: as a script here, in a real Jupyter kernel in the slow tests."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "budget" / "budget.ipynb"


def cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_committed_without_results() -> None:
    """No output, and no number of a run, is in the repository."""
    assert [cell["id"] for cell in cells(NOTEBOOK) if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.slow
def test_its_cells_run_inside_a_loop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All cells but the one that draws, in order, inside a running event loop, as a notebook's are."""
    monkeypatch.chdir(NOTEBOOK.parent)
    names: dict[str, Any] = {}

    async def kernel() -> None:
        for cell in cells(NOTEBOOK):
            if "plot" not in cell["metadata"].get("tags", ()):
                exec(compile("".join(cell["source"]), cell["id"], "exec"), names)

    asyncio.run(kernel())
    said = capsys.readouterr().out
    assert "2012-07    1,894.23 USD  in 3 payments" in said and "2012-07: 1,394.23 USD beyond the plan" in said
    assert "anzcc.ofx              0 added, 2 unchanged, 0 rejected" in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs_in_jupyter_and_draws(examples_python: Path, tmp_path: Path) -> None:
    """A real kernel executes every cell, and the last shows a picture."""
    out = tmp_path / "out.ipynb"
    done = subprocess.run(
        [examples_python, Path(__file__).with_name("notebook.py"), NOTEBOOK, out], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'engine'}:{ROOT / 'sandbox'}"}, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    (plot,) = (cell for cell in cells(out) if cell["id"] == "plot")
    assert [len(one["data"]["image/png"]) > 10_000 for one in plot["outputs"] if "data" in one] == [True]
