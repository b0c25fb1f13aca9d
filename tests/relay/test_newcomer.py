"""What an operator meets on the first day: each error is one line that names the file or address and what to do."""

import errno
import socket
import subprocess
import sys
from contextlib import chdir, closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from chez_relay.cli import main
from chez_relay.settings import unbound
from tests.relay.support import relay


def chez_relay(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in an empty folder, to its end."""
    command = (sys.executable, "-m", "chez_relay", *arguments)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize(("arguments", "said"), [
    ("serve", ("no data folder", "--data")),
    ("serve --config relay.toml", ("relay.toml", "No such file", "config --example")),
    ("serve --data d --token-file tokens", ("tokens", "No such file")),
    ("serve --data d --set tls_certificate=a.pem --set tls_key=b.pem", ("a.pem", "b.pem", "No such file")),
    ("serve --data d --set limits.helo=5", ("limits.helo", "limits.hello")),
    ("serve --data d --listen somewhere", ("listen", "HOST:PORT", "somewhere")),
    ("serve --data d --name a:1 --name relay.example", ("names", "HOST:PORT", "not 'relay.example'\n")),
    ("serve --data d --set quotas.space_bytes=1GB", ("quotas.space_bytes", "'1GB'", '"1 GiB"')),
    ("serve --data d --log-file no/log", ("log file no/log", "No such file", "log_file")),
    ("pin a.pem", ("a.pem", "No such file")),
    ("cluster status --data nodes", ("no cluster", "cluster up")),
    ("top 127.0.0.1:1", ("nothing answers at 127.0.0.1:1", "Connection refused", "--set status=")),
    ("check --data d", ("no relay's store", "--data")),
])
def test_an_error_names_what_it_is_about_and_what_to_do(tmp_path: Path, arguments: str, said: tuple[str, ...]) -> None:
    """A line and its hint on standard error and 1 at the end; nothing is made that was not there."""
    with chdir(tmp_path):
        found = CliRunner().invoke(main, arguments.split(), prog_name="chez-relay")
    assert found.exit_code == 1 and not found.stdout
    assert found.stderr.startswith("chez-relay: ") and len(found.stderr.splitlines()) <= 2
    assert all(part in found.stderr for part in said), found.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_told_in_a_line(tmp_path: Path) -> None:
    """The list of commands goes into eighty columns, with no sentence cut short, and calls the program by its name."""
    shown = chez_relay(tmp_path, "--help").stdout
    assert shown.startswith("Usage: chez-relay ") and "..." not in shown.partition("Commands:")[2]
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "..." not in chez_relay(tmp_path, "cluster", "--help").stdout.partition("Commands:")[2]


def test_an_address_in_use_is_said_as_people_say_it(tmp_path: Path) -> None:
    """Of the devices' address or of the status page's: the address, the reason, the setting to change."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for arguments, setting in ((["--listen", address], "listen"),
                                   (["--listen", "127.0.0.1:0", "--set", f"status={address}"], "status")):
            found = chez_relay(tmp_path, "serve", "--data", "d", *arguments)
            last = found.stderr.splitlines()[-2:]
            assert found.returncode == 1
            assert last == [f"chez-relay: {address} can't be used: Address already in use",
                            f"  stop what uses it, or set another ({setting})"]


def test_the_file_of_a_data_folder_that_can_t_be_used_is_named(tmp_path: Path) -> None:
    """Where the folder itself is well, "let this user write there" would send an operator to the wrong place."""
    (tmp_path / "d" / "relay.lock").mkdir(parents=True)
    found = chez_relay(tmp_path, "serve", "--data", "d", "--listen", "127.0.0.1:0")
    assert found.returncode == 1
    assert found.stderr.startswith("chez-relay: relay.lock in the data folder d can't be used: Is a directory\n")


@pytest.mark.parametrize(("number", "said"), [
    (errno.EACCES, "CAP_NET_BIND_SERVICE"), (errno.EADDRNOTAVAIL, "0.0.0.0"), (None, "an address of this machine")])
def test_an_address_that_can_t_be_used_is_said_with_what_to_do(number: int | None, said: str) -> None:
    """A low port, an address of another machine, a name that nobody knows: with the setting to change."""
    error = OSError(number, "some text") if number else OSError("some text")
    found = unbound("listen", "relay.example:443", error)
    assert said in found.hint and found.hint.endswith("(listen)") and "relay.example:443" in found.message


async def test_numbers_of_an_event_are_in_the_log_for_people_too(tmp_path: Path) -> None:
    """What JSON has as fields stands behind the text."""
    log = tmp_path / "log"
    async with relay(tmp_path / "d", "--log-file", str(log)):
        pass
    assert "draining (connections 0)\n" in log.read_text()
