"""chez relay token, at the command line: from a file, or asked for."""

from pathlib import Path

from tests.cli.support import another


def test_a_token_is_read_from_a_file_or_standard_input_and_shown_nowhere(tmp_path: Path) -> None:
    """Either way it is kept for the relay; no output repeats it, and what is no relay's address is refused."""
    device = another(tmp_path, "anna")
    device.run("init", "--kdf", "minimum", "--name", "anna", "--no-confirm")
    url = "ws://relay.example:8787"
    (tmp_path / "token").write_text("a-given-token\n")
    said = device.run("relay", "token", url, "--token-file", str(tmp_path / "token"))
    assert url in said.stdout and "a-given-token" not in said.stdout + said.stderr
    assert device.json("relay", "token", url, "--token-file", "-", stdin=b"another-token\n") == {"relay": url}
    refused = device.run("relay", "token", "nonsense", "--token-file", str(tmp_path / "token"), code=1)
    assert "no relay's address" in refused.stderr
    device.end()
