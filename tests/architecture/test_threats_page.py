"""docs/threats.md names, for each attack, tests that there are."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_attack_has_tests_that_exist() -> None:
    """Every row of the page names one test or more, each by its file and its function."""
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs/threats.md").read_text().splitlines()
            if line.startswith("| ") and not line.startswith("| who")]
    assert len(rows) >= 35
    for who, tries, comes, tests in rows:
        assert who.strip() and tries.strip() and comes.strip()
        named = [one.strip().strip("`") for one in tests.split(",")]
        for file, name in (one.split("::") for one in named):
            assert name in functions(ROOT / "tests" / file), f"{file} has no {name}, which is to show: {tries}"


@cache
def functions(path: Path) -> set[str]:
    """The names of a module's tests."""
    return {node.name for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")}
