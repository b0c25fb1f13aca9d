"""A real relay process behind a recording proxy."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.demo.proxy import RecordingProxy

from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Wire:
    """The proxy that devices dial, and where the relay keeps its data and log."""

    proxy: RecordingProxy
    data: Path
    log: Path

    def seen(self) -> dict[str, bytes]:
        """Everything the relay stored and logged, and everything that passed."""
        stored = {path.name: path.read_bytes() for path in self.data.iterdir()}
        return {**stored, "log": self.log.read_bytes(), "wire": self.proxy.recorded()}


@contextmanager
def recorded_relay(folder: Path) -> Iterator[Wire]:
    """Start both; end both with the block."""
    port = free_port()
    with RecordingProxy(port) as proxy:
        wire = Wire(proxy, folder / "relay", folder / "relay.log")
        process = subprocess.Popen(
            [sys.executable, "-m", "chez_relay", "serve", "--listen", f"127.0.0.1:{port}", "--name", proxy.name,
             "--data", str(wire.data), "--log-file", str(wire.log)],
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
