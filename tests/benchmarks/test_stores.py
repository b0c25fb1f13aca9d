"""The stores side by side: their work, the table, the plot, and that what is said of them is what is installed."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks import __main__ as cli
from benchmarks import stores
from benchmarks.harness import ROOT, Bench, BenchmarkFailed, Result, Results, select
from benchmarks.numbers import number
from benchmarks.peers.stores import SOURCE
from benchmarks.peers.stores import stores as work
from benchmarks.plot import Panel, dots
from benchmarks.report import page, write_page
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

FIGURES = {figure.id: figure for benchmark in stores.benchmarks() for figure in benchmark.figures}
SVG = "{http://www.w3.org/2000/svg}"


def results(peers: dict[str, list[float]]) -> Results:
    """Made-up ones for every figure of the stores."""
    return Results({"cores": 2}, {"python": "3"}, {
        id: Result(2.0, figure.unit, [3.0, 1.0, 2.0], {}, peers) for id, figure in FIGURES.items()})


@pytest.mark.slow
@pytest.mark.parametrize("program", [(str(SOURCE / "stores.py"), "sqlite"), ("-m", "benchmarks.store_once")])
def test_a_store_does_the_whole_work(program: tuple[str, ...], tmp_path: Path) -> None:
    """Each program makes, reads, queries and updates, checks what it finds, and answers again in a new process."""
    found = {}
    for verb in ("fill", "open"):
        ended = subprocess.run([sys.executable, *program, verb, str(tmp_path)], cwd=ROOT, capture_output=True,
                               text=True, timeout=250, check=True)
        found |= json.loads(ended.stdout)
    assert {f"{stores.FAMILY}.{name}" for name in found} == FIGURES.keys() - {f"{stores.FAMILY}.disk"}
    assert all(value > 0 for value in found.values())
    assert stores.occupied(tmp_path) > work.COUNT * 100


def test_a_query_that_finds_something_else_is_no_figure() -> None:
    """A store that answers less, or something else, than was asked ends its run."""
    right = [work.record(number) for number in range(77, work.COUNT, work.CITIES)]
    work.check(right, 77)
    for wrong in (right[1:], [*right[1:], work.record(0)]):
        with pytest.raises(SystemExit, match="the query found"):
            work.check(wrong, 77)


def test_all_of_a_family_are_chosen_by_its_name() -> None:
    """`store.peers` is all of its figures, `store.peers.read` one, `store` is none."""
    assert {f.id for _, chosen in select(stores.benchmarks(), ["store.peers"]) for f in chosen} == FIGURES.keys()
    assert [f.id for _, chosen in select(stores.benchmarks(), ["store.peers.read"]) for f in chosen] == [
        "store.peers.read"]
    with pytest.raises(BenchmarkFailed, match=r"no such figure: store\.peer;"):
        select(stores.benchmarks(), ["store.peer"])


async def test_a_peer_that_fails_costs_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """What a peer can't do is left out and said; what Chez can't do is a failure."""
    def says(code: str) -> stores.Program:
        return stores.Program((sys.executable, "-c", code))

    fine, broken = says("print('{\"read\": 2}')"), says("raise SystemExit('out of order')")

    async def programs(bench: Bench) -> dict[str, stores.Program]:
        return chosen

    monkeypatch.setattr(stores, "_programs", programs)
    chosen = {"chez": fine, "sqlite": broken, "loro": fine}
    (figure,) = stores.benchmarks()
    found = await figure.measure(Bench(tmp_path, tmp_path, 3))
    assert found["store.peers.read"].peers.keys() == {"loro"} and found["store.peers.read"].values == [2, 2, 2]
    assert "a run of sqlite is left out" in capsys.readouterr().err
    chosen = {"chez": broken}
    with pytest.raises(BenchmarkFailed, match="out of order"):
        await figure.measure(Bench(tmp_path, tmp_path, 3))


def test_what_is_said_of_the_peers_is_what_is_installed() -> None:
    """Versions on the page are those of the locks, and no lock names an address."""
    lock = (SOURCE / "requirements.lock").read_text()
    npm = (ROOT / "benchmarks" / "peers" / "automerge_repo" / "package-lock.json").read_text()
    assert "://" not in lock and '"resolved"' not in npm
    pinned = dict(re.findall(r"^(\S+)==(\S+) \\$", lock, re.MULTILINE))
    assert f"Loro {pinned['loro']}," in stores.CONDITIONS["loro"]
    assert f"pycrdt {pinned['pycrdt']}," in stores.CONDITIONS["pycrdt"]
    assert lock.count("--hash=sha256:") >= len(pinned) == len(re.findall("^[^ #]", lock, re.MULTILINE))
    version = json.loads(npm)["packages"]["node_modules/@automerge/automerge"]["version"]
    assert f"@automerge/automerge {version} " in stores.CONDITIONS["automerge"]
    for peer, words in stores.CONDITIONS.items():
        assert ("encrypted" if peer == "chez" else "plaintext") in words and "fsync" in words and "history" in words


def test_the_numbers_of_the_work_are_the_same_in_javascript() -> None:
    """What stores.mjs does is as much as what stores.py does."""
    script = (ROOT / "benchmarks" / "peers" / "automerge_repo" / "stores.mjs").read_text()
    assert (f"const COUNT = {work.COUNT}, CITIES = {work.CITIES}, READS = {work.READS}, QUERIES = {work.QUERIES}, "
            f"UPDATES = {work.UPDATES}") in script


def test_the_page_has_one_table_of_them(tmp_path: Path) -> None:
    """A row for each store that was measured, medians with least and greatest; the plot lies beside the page."""
    found = results({"sqlite": [5.0, 4.0, 6.0], "loro": []})
    write_page(tmp_path / "bench.md", FIGURES, found)
    text = (tmp_path / "bench.md").read_text()
    assert text == page(FIGURES, found, "bench")
    assert "| **chez** | 2.00 (1.00 to 3.00) | 2.00" in text and "| sqlite | 5.00 (4.00 to 6.00) |" in text
    assert "loro" not in text and "](bench/store-peers.svg)" in text and "| figure |" not in text
    assert ET.fromstring((tmp_path / "bench" / "store-peers.svg").read_text()).tag == f"{SVG}svg"
    write_page(tmp_path / "none.md", FIGURES, Results({}, {}, {}))
    assert not (tmp_path / "none").exists() and "side by side" not in (tmp_path / "none.md").read_text()


def test_the_command_writes_page_and_plot(tmp_path: Path) -> None:
    """`--json FILE --docs PAGE` measures nothing; results that no scale shows are a plain error."""
    file = tmp_path / "results.json"
    cli.write(file, results({"sqlite": [1.0]}))
    asked = ["--json", str(file), "--docs", str(tmp_path / "page.md")]
    assert CliRunner().invoke(cli.main, asked).exit_code == 0
    assert (tmp_path / "page" / "store-peers.svg").exists()
    cli.write(file, results({"sqlite": [0.0]}))
    wrong = CliRunner().invoke(cli.main, asked)
    assert wrong.exit_code == 1 and "no logarithmic scale" in wrong.output


VALUES = st.floats(1e-6, 1e9)


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1),
                       st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=6), st.integers(1, 5))
def test_dots_stand_in_the_order_of_their_values(subjects: dict[str, tuple[float, float, float]], panels: int) -> None:
    """Whatever the values and names: the SVG is well-formed, a greater value is further right, none is outside."""
    sorted_ = {name: (*sorted(three), number(sorted(three)[1])) for name, three in subjects.items()}
    drawn = ET.fromstring(dots("a < b & \"c\"", [Panel("x & y", sorted_)] * panels))  # type: ignore[dict-item]
    places = [float(circle.attrib["cx"]) for circle in drawn.iter(f"{SVG}circle")]
    assert len(places) == len(subjects) * panels
    width = float(drawn.attrib["width"])
    assert all(0 < place < width for place in places)
    first = sorted(zip([value[1] for value in sorted_.values()], places, strict=False))
    assert [place for _, place in first] == sorted(place for _, place in first)
    labels = [text.text for text in drawn.iter(f"{SVG}text") if text.attrib["class"].startswith("label")]
    assert labels == [*subjects] * panels


@given(st.floats(1e-4, 1e12))
def test_numbers_keep_three_digits(value: float) -> None:
    """What is shown is within half a percent of what was measured, and has no exponent."""
    shown = number(value)
    assert abs(float(shown.replace(",", "")) - value) <= value * 0.0051 and "e" not in shown
