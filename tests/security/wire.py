"""A real relay process behind a recording proxy."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from examples.demo.proxy import RecordingProxy

from chez_relay.cluster.nodes import Cluster
from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Wire:
    """The proxy that devices dial, and where the relay, or the nodes under it, keep data and logs."""

    proxy: RecordingProxy
    data: Path
    log: Path

    def seen(self) -> dict[str, bytes]:
        """Everything the relay stored and logged, and everything that passed."""
        stored: dict[str, bytes] = {}
        for path in self.data.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # nodes put files in place of others
                stored[str(path.relative_to(self.data))] = path.read_bytes()
        return {**stored, "log": self.log.read_bytes(), "wire": self.proxy.recorded()}


@contextmanager
def recorded_relay(folder: Path, cluster: Cluster | None = None) -> Iterator[Wire]:
    """Start both; end both with the block. The relay's store is in the folder, or on a cluster."""
    port = free_port()
    with RecordingProxy(port) as proxy:
        wire = Wire(proxy, folder / "relay" if cluster is None else cluster.folder, folder / "relay.log")
        store = ["--data", str(wire.data)] if cluster is None else [
            part for url in cluster.urls for part in ("--nats", url)]
        process = subprocess.Popen(
            [sys.executable, "-m", "chez_relay", "serve", "--listen", f"127.0.0.1:{port}", "--name", proxy.name,
             *store, "--log-file", str(wire.log)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            assert "listening" in process.stdout.readline()
            yield wire
        finally:
            process.terminate()
            process.wait(90)
            process.stdout.close()
