"""The settings of a relay: where each comes from, and what is said of those that make no sense."""

import os
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from chez_relay.cli import main
from chez_relay.config import Configuration, example, load, reference, shown
from chez_relay.errors import BadConfiguration
from chez_relay.limits import Limits, reasons
from chez_relay.settings import SETTINGS
from chez_relay.storage import Quotas
from chez_wire.limits import MIB

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
NUMBERS = [name for name, one in SETTINGS.items() if one.wants in ("a number", "bytes", "seconds")]


def written(folder: Path, text: str) -> Path:
    path = folder / "relay.toml"
    path.write_text(text)
    return path


def of_file(folder: Path, text: str) -> Configuration:
    return load({}, {}, written(folder, text))


def test_without_anything_said_the_defaults_hold() -> None:
    """No flag, no variable, no file: the limits and quotas are those of the code, each with its origin."""
    found = load({}, {"PATH": "/bin"})
    assert found.limits == Limits() and found.quotas == Quotas() and found.tokens() == ()
    assert {value.origin for value in found.values.values()} == {"default"}
    with pytest.raises(BadConfiguration, match="--data"):
        _ = found.data


@given(st.sets(st.sampled_from(NUMBERS)), st.sets(st.sampled_from(NUMBERS)), st.sets(st.sampled_from(NUMBERS)))
def test_a_flag_wins_over_a_variable_over_the_file(flags: set[str], variables: set[str], file: set[str]) -> None:
    """Whichever sources name a setting, the strongest is taken, and named as its origin."""
    tree: dict[str, dict[str, int]] = {}
    for name in file:
        section, _, last = name.partition(".")
        tree.setdefault(section, {})[last] = 3
    text = "".join(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in below.items())
                   for section, below in tree.items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.toml")
        path.write_text(text)
        found = load(dict.fromkeys(flags, "1"), {SETTINGS[name].variable: "2" for name in variables}, path)
    for name in NUMBERS:
        expected = ((1, "flag") if name in flags else (2, SETTINGS[name].variable) if name in variables
                    else (3, "r.toml") if name in file else (SETTINGS[name].default, "default"))
        value = found.values[name]
        assert (value.value, value.origin) == expected


@pytest.mark.parametrize(("text", "near"), [
    ("lisen = '127.0.0.1:1'", "listen"), ("[limits]\nconections = 5", "limits.connections"),
    ("[limit]\nhello = 5", "limits.hello"), ("[quotas]\nspace_byte = 5", "quotas.space_bytes"),
    ("qqqqqqqq = 1", "chez-relay config"),
])
def test_what_is_no_setting_is_answered_with_the_nearest_one(tmp_path: Path, text: str, near: str) -> None:
    """A misspelt setting is refused, in the file, the environment and on the command line, not passed over."""
    with pytest.raises(BadConfiguration) as caught:
        of_file(tmp_path, text)
    assert "relay.toml" in caught.value.message and near in caught.value.hint
    (section, below), = [("", tree) if not isinstance(tree, dict) else (key, tree)
                         for key, tree in tomllib.loads(text).items()]
    if section:
        name = f"{section}.{next(iter(below))}"
        for call in (lambda: load({name: "5"}, {}), lambda: load({}, {variable_of(name): "5"})):
            with pytest.raises(BadConfiguration) as caught:
                call()
            assert near in caught.value.hint or SETTINGS[near].variable in caught.value.hint


@pytest.mark.parametrize("text", ["quotas = 5", "cluster = ['nats://127.0.0.1:1']", "[[limits]]\nhello = 5"])
def test_a_section_that_is_given_a_value_is_called_one(tmp_path: Path, text: str) -> None:
    """No setting of it is meant more than another: the nearest name would be one by chance."""
    with pytest.raises(BadConfiguration) as caught:
        of_file(tmp_path, text)
    assert "is a section" in caught.value.hint and "did you mean" not in caught.value.hint


def variable_of(name: str) -> str:
    return "CHEZ_RELAY_" + name.replace(".", "_").upper()


@pytest.mark.parametrize(("name", "bad"), [
    ("listen", "nowhere"), ("listen", "host:99999"), ("listen", 7), ("names", ["x"]), ("names", 1), ("data", 5),
    ("names", "https://relay.example:443"), ("listen", "user@host:80"), ("status", "http://127.0.0.1:8788"),
    ("data", "a\0b"), ("cluster.nodes", "nats://host:port"), ("cluster.nodes", "nats://host:99999"),
    ("log_format", "xml"), ("quotas.space_bytes", "5 parsecs"), ("quotas.space_bytes", -1), ("limits.hello", 0),
    ("limits.hello", "nan"), ("limits.hello", True), ("limits.connections", "many"), ("limits.connections", 0),
    ("limits.connections", 2.5), ("cluster.replicas", 6), ("cluster.replicas", "0"), ("cluster.shards", 1025),
    ("quotas.inbox_items", "1" * 5000), ("limits.hello", float("inf")),
])
def test_a_value_that_makes_no_sense_is_named_with_what_is_wanted(name: str, bad: object) -> None:
    """Each kind of setting refuses what it does not take, with its name and what it wants."""
    with pytest.raises(BadConfiguration) as caught:
        load({name: bad}, {})
    assert name in caught.value.message and SETTINGS[name].wants in caught.value.message


@pytest.mark.parametrize(("name", "most"), [("cluster.replicas", 5), ("cluster.shards", 1024)])
def test_a_store_that_no_cluster_can_hold_is_refused_before_any_is_dialled(name: str, most: int) -> None:
    """At once, where `serve` would wait a minute for the cluster; what it can hold is taken."""
    assert load({name: str(most)}, {})[name] == most
    begun = time.monotonic()
    run = CliRunner().invoke(main, ["serve", "--nats", "nats://127.0.0.1:1", "--set", f"{name}={most + 1}"])
    assert time.monotonic() - begun < 30
    assert run.exit_code == 1 and f"{name} wants 1 to {most}, not '{most + 1}'" in run.output


@pytest.mark.parametrize("text", ["limits.hello = 1" + "0" * 400, "limits.connections = 0x" + "f" * 5000,
                                  "names = [0x" + "f" * 5000 + "]"], ids=["large", "larger", "in a list"])
def test_a_number_beyond_all_others_is_refused_by_the_settings_name(tmp_path: Path, text: str) -> None:
    """Also one that is none with a point in it, or that Python does not write."""
    with pytest.raises(BadConfiguration, match=text.partition(" ")[0]):
        of_file(tmp_path, text)


def test_a_file_says_sizes_in_units_and_paths_from_where_it_lies(tmp_path: Path) -> None:
    """`"2 GiB"` is bytes, a relative path starts at the file, an absolute one stays, names are a list."""
    (tmp_path / "tokens").write_text("one two\n")
    found = of_file(tmp_path, 'data = "store"\ntoken_file = "tokens"\nlog_file = "/var/log/relay"\n'
                              'names = ["relay.example:443"]\nquotas.space_bytes = "3 MiB"\n')
    assert found.data == tmp_path / "store" and found["log_file"] == "/var/log/relay"
    assert found.quotas.space_bytes == 3 * MIB and found["names"] == ("relay.example:443",)
    assert found.tokens() == ("one", "two")
    assert load({}, {"CHEZ_RELAY_NAMES": "a:1, b:2", "CHEZ_RELAY_CONFIG": str(tmp_path / "relay.toml")})["names"] == (
        "a:1", "b:2")


@pytest.mark.parametrize("text", ["listen", "[", "\x00", "listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'"])
def test_a_file_that_is_no_toml_is_one_typed_error(tmp_path: Path, text: str) -> None:
    """A broken file, one that is not there, one that is no text: said in one line."""
    with pytest.raises(BadConfiguration, match="no TOML"):
        of_file(tmp_path, text)
    with pytest.raises(BadConfiguration, match="can't be read"):
        load({}, {}, tmp_path / "nothing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfiguration):
        load({}, {}, tmp_path / "bytes.toml")


def test_a_file_that_never_ends_is_refused_and_a_pipe_is_read(tmp_path: Path) -> None:
    """A device in a file's place takes no memory; a password manager that writes the tokens into a pipe is heard."""
    with pytest.raises(BadConfiguration, match="can't be read: it has more than"):
        load({}, {}, Path("/dev/zero"))
    with pytest.raises(BadConfiguration, match="can't be read: it has more than"):
        load({"token_file": "/dev/zero"}, {}).tokens()
    pipe = tmp_path / "tokens"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(pipe.write_text, "one\ntwo\n")
        assert load({"token_file": str(pipe)}, {}).tokens() == ("one", "two")
        assert written.result() == 8


def test_what_is_shown_and_the_example_are_files_that_say_the_same(tmp_path: Path) -> None:
    """The output of `config --show` read as a file gives the same settings; the example's lines are the defaults."""
    before = load({"limits.hello": "3", "names": ("a:1",)}, {"CHEZ_RELAY_QUOTAS_BLOB_BYTES": "5 MiB"})
    after = of_file(tmp_path, shown(before))
    assert {name: one.value for name, one in after.values.items() if not SETTINGS[name].path} == {
        name: one.value for name, one in before.values.items() if not SETTINGS[name].path}
    assert "# flag" in shown(before) and "# CHEZ_RELAY_QUOTAS_BLOB_BYTES" in shown(before)
    bare = "\n".join(line.removeprefix("# ") for line in example().splitlines()
                     if " = " in line or line.startswith("["))
    assert {name: one.value for name, one in of_file(tmp_path, bare).values.items() if not SETTINGS[name].path} == {
        name: one.value for name, one in load({}, {}).values.items() if not SETTINGS[name].path}


def test_every_setting_has_a_reason_and_is_on_the_page() -> None:
    """Each says why in a sentence, and docs/operations.md has the table that `config --reference` writes."""
    assert all(one.why.endswith(".") for one in SETTINGS.values())
    assert set(reasons()) == {name.removeprefix("limits.") for name in SETTINGS if name.startswith("limits.")}
    assert reference() in PAGE.read_text()


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """The settings name the file of tokens, never a token, and a node of the cluster without its password."""
    node = load({"cluster.nodes": "nats://relay:very-secret@n1.example:4222"}, {})
    assert node["cluster.nodes"] == ("nats://relay:very-secret@n1.example:4222",)
    assert "nats://relay:***@n1.example:4222" in shown(node) and "very-secret" not in shown(node)
    for secret in ("relay:very@secret", "very-secret"):
        said = shown(load({"cluster.nodes": f"nats://{secret}@n1.example:4222"}, {}))
        assert "***@n1.example:4222" in said and "secret" not in said and "very" not in said
    for wrong in ("nats://relay:very-secret@n1.example:port", "nats://relay:very/secret@n1.example:4222",
                  "relay:very-secret@n1.example:4222", "nats://very-secret@n1.example:port"):
        with pytest.raises(BadConfiguration) as caught:
            load({"cluster.nodes": wrong}, {})
        assert "secret" not in str(caught.value) and "@n1.example" in str(caught.value)
    (tmp_path / "tokens").write_text("very-secret")
    found = load({"token_file": str(tmp_path / "tokens")}, {})
    assert found.tokens() == ("very-secret",) and "very-secret" not in shown(found) + repr(found)
