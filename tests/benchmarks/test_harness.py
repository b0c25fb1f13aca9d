"""The harness on figures made up for the purpose: shape of the JSON, medians, ratios, failures."""

import asyncio
import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import __main__ as cli
from benchmarks import harness, texts
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.report import page
from click.testing import CliRunner

from chez.connectors.registry import BUILT_IN

FAST = Figure("fake.time", "ms", "less", "A made-up time.", 5, {"peer": "a made-up peer"})
RATE = Figure("fake.rate", "things/s", "more", "A made-up rate.")


async def _fake(bench: Bench) -> dict[str, Runs]:
    assert bench.work.is_dir() and not any(bench.folder("x").iterdir())
    times, rates = Runs(), Runs()
    for value in (3.0, 1.0, 2.0):
        times.add(value, peer=value * 4)
        rates.add(value * 1000)
    return {"fake.time": times, "fake.rate": rates}


async def _short(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    runs.add(1.0)
    return {"fake.short": runs}


FAKES = (Benchmark((FAST, RATE), _fake),
         Benchmark((Figure("fake.short", "s", "less", "Too few runs."),), _short))


def test_the_json(tmp_path: Path) -> None:
    """Results are {machine, versions, figures: {ID: {value, unit, runs, ratio, peers}}}, value the median."""
    results, failed = cli.run(FAKES[:1], (), tmp_path / "out.json", 3, True, tmp_path / "cache")
    assert not failed
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found) == {"machine", "versions", "figures"}
    assert found["figures"] == {
        "fake.time": {"value": 2.0, "unit": "ms", "runs": [3.0, 1.0, 2.0], "ratio": {"peer": 0.25},
                      "peers": {"peer": [12.0, 4.0, 8.0]}},
        "fake.rate": {"value": 2000.0, "unit": "things/s", "runs": [3000.0, 1000.0, 2000.0], "ratio": {},
                      "peers": {}},
    }
    assert found["machine"]["cores"] >= 1 and found["versions"]["python"]
    assert not list((tmp_path / "cache").glob("work-*"))
    text = page({FAST.id: FAST, RATE.id: RATE}, results)
    assert "| `fake.time` | 2.00 ms | 1.00 to 3.00 (3) | at most 5.00 | peer: 8.00 (ratio 0.250) |" in text


def test_a_goal_beside_a_peer(tmp_path: Path) -> None:
    """A figure may have to be within so many times a peer's; missed ones are marked, also without the peer."""
    results, _ = cli.run(FAKES[:1], (FAST.id,), None, 3, True, tmp_path)
    for times, words in (({"peer": 0.25}, "at most 5.00, at most 0.250 times peer |"),
                         ({"peer": 0.2}, "at most 5.00, at most 0.200 times peer (missed) |"),
                         ({"absent": 9}, "at most 5.00, at most 9.00 times absent (missed) |")):
        assert words in page({FAST.id: replace(FAST, times=times)}, results)


def test_one_failure_keeps_the_others(tmp_path: Path) -> None:
    """A figure with fewer than three runs is a failure, named; the file holds what was measured before."""
    results, failed = cli.run(FAKES, (), tmp_path / "out.json", 3, True, tmp_path)
    assert failed == ["fake.short"] and set(results.figures) == {"fake.time", "fake.rate"}
    assert set(json.loads((tmp_path / "out.json").read_text())["figures"]) == {"fake.time", "fake.rate"}


def test_adding(tmp_path: Path) -> None:
    """What a file has stays beside what is measured anew, unless it is of another machine or of other versions."""
    out = tmp_path / "out.json"
    for figure, add, there in (("fake.rate", False, {"fake.rate"}), ("fake.time", True, {"fake.rate", "fake.time"}),
                               ("fake.time", False, {"fake.time"})):
        cli.run(FAKES, (figure,), out, 3, True, tmp_path, add=add)
        found = json.loads(out.read_text())
        assert set(found["figures"]) == there
    for other in ({**found, "versions": {**found["versions"], "chez": "0.0"}},
                  {**found, "machine": {**found["machine"], "cores": 0}}, {}):
        out.write_text(json.dumps(other))
        with pytest.raises(BenchmarkFailed, match=r"all anew|no results"):
            cli.run(FAKES, ("fake.rate",), out, 3, True, tmp_path, add=True)
        assert json.loads(out.read_text()) == other
    out.write_text(json.dumps({**found, "machine": {**found["machine"], "fdatasync_us": 1}}))
    cli.run(FAKES, ("fake.rate",), out, 3, True, tmp_path, add=True)


def test_selecting(tmp_path: Path) -> None:
    """IDs choose figures, of one benchmark too; an unknown one is refused with those there are."""
    results, _ = cli.run(FAKES, ("fake.rate",), None, 3, True, tmp_path)
    assert list(results.figures) == ["fake.rate"]
    with pytest.raises(BenchmarkFailed, match=r"fake\.rate"):
        cli.run(FAKES, ("nonsense",), None, 3, True, tmp_path)


def test_a_benchmark_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No figure takes longer than its limit."""
    async def hang(bench: Bench) -> dict[str, Runs]:
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(harness, "MOST_SECONDS", 0.05)
    _, failed = cli.run((Benchmark((FAST,), hang),), (), None, 3, True, tmp_path)
    assert failed == ["fake.time"]


def test_the_real_figures_are_complete() -> None:
    """Every figure that issues 3 to 7 name so far exists once, names a peer or a limit, and tells what it measures."""
    figures = [f for b in cli.every() for f in b.figures]
    ids = [f.id for f in figures]
    assert len(ids) == len(set(ids))
    named = {
        "put.bulk", "put.single", "put.concurrent64", "sync.records_1000", "sync.latency_p50",
        "sync.latency_p99", "sync.latency_apart_p50", "sync.ephemeral_p50", "import.linky",
        "import.gigabyte", "import.gigabyte.seconds", "cli.warm", "job.cold", "job.fresh", "job.linky_year",
        "job.sql_1m", "job.warm", "job.rate", "job.pool_memory", "job.hostile_lag", "job.loop_overrun",
        "job.bomb_rss", "job.first_compile",
        "relay.bytes_per_record", "query.indexed", "query.fulltext", "query.live", "query.live_unindexed",
        "open.first_query", "scan.rss", "feed.rate", "text.trace", "text.open", "text.resume",
        *(f"store.peers.{name}" for name in ("create", "read", "query", "update", "open", "disk")),
        "keys.join", "keys.epoch_1000", "keys.membership_verify", "keys.recover",
        "relay.append", "relay.append_beside", "relay.append_cluster", "relay.append_lone", "relay.append_cluster_lone",
        "relay.append_p99", "relay.append_p99_most", "relay.append_written", "relay.fanout",
        "relay.idle_memory", "sync.changes_wide",
        *(f"connector.{name}" for name, _ in BUILT_IN),
        "sync.changes_10000", "sync.bootstrap_100k", "sync.idle_reconnect", "relay.bytes_checkpointed"}
    assert named <= set(ids)
    assert all(f.what.endswith(".") and f.better in ("less", "more") for f in figures)
    assert all(f.peers or f.goal is not None for f in figures if f.id in named)
    assert all(set(f.times) <= set(f.peers) for f in figures)


def test_a_trace_that_is_not_there_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its file nothing else is measured instead: the figure is missing, and it is said what it needs."""
    results, failed = cli.run(texts.benchmarks(), (), None, 3, True, tmp_path)
    assert (results.figures, failed) == ({}, ["text.trace, text.open, text.resume"])
    assert "not measured: needs automerge-paper.json.gz in benchmarks/.cache" in capsys.readouterr().err


def test_a_trace_is_read_and_held_to_its_format(tmp_path: Path) -> None:
    """Edits and the last content are read; what is no trace is told by name."""
    file = tmp_path / texts.TRACE
    whole = b'{"startContent":"","endContent":"b","txns":[{"time":"","patches":[[0,0,"a"],[0,1,"b"]]}]}'
    file.write_bytes(gzip.compress(whole))
    trace = texts.read_trace(tmp_path)
    assert (trace.edits, trace.end) == ([(0, 0, "a"), (0, 1, "b")], "b")
    begun = whole.replace(b'""', b'"x"', 1)
    for broken in (b"{}", gzip.compress(b"{}"), gzip.compress(whole)[:-9], gzip.compress(begun)):
        file.write_bytes(broken)
        with pytest.raises(BenchmarkFailed, match="automerge-paper"):
            texts.read_trace(tmp_path)


def test_the_command() -> None:
    """`--list` shows the figures; an unknown one is a plain error."""
    runner = CliRunner()
    assert "put.bulk" in runner.invoke(cli.main, ["--list"]).output
    wrong = runner.invoke(cli.main, ["no.such"])
    assert wrong.exit_code != 0 and "no such figure" in wrong.output


def test_ended_from_outside_it_ends() -> None:
    """A termination ends the run with its open homes, also where a shell had it ignore interrupts."""
    started = ("sh", "-c", f"trap '' INT; exec {sys.executable} -m benchmarks put.bulk")
    with subprocess.Popen(started, cwd=harness.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            assert process.stdout is not None and b"measuring" in process.stdout.readline()
            process.terminate()
            words, _ = process.communicate(timeout=90)
        finally:
            process.kill()
    assert process.returncode == 1 and b"Aborted" in words
