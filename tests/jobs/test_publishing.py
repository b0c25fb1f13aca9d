"""What a provider's key signs for its catalogue: what the provider asked for, whatever its home gives it to sign."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chez_sandbox.offers.acknowledged import BATCH, Batch
from chez_sandbox.offers.feed import Line
from chez_sandbox.provider import publishing
from chez_sandbox.provider.keys import save_keys
from tests.jobs.messages import BUNDLE, KEYS
from tests.jobs.test_flow import chez_job
from tests.jobs.test_grants import THIEF

LINE = Line(1, KEYS.signing.public, 1, bytes(32), "mean-power", 1, BUNDLE.hash)
WORD = Batch(1, KEYS.signing.public, "2026-11-29", tuple(bytes([n]) * 16 for n in range(BATCH)))
Answers = dict[str, dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A provider's folder, with its key and a bundle that it signed."""
    save_keys(tmp_path / "provider.key", KEYS)
    (tmp_path / "job.chez").write_bytes(BUNDLE.encoded)
    return tmp_path


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[tuple[str, dict[str, Any]]]]:
    """A home that answers verbs as told; what it was asked."""
    def answering(answers: Answers) -> list[tuple[str, dict[str, Any]]]:
        asked: list[tuple[str, dict[str, Any]]] = []

        def call(_: object, verb: str, params: dict[str, Any]) -> Any:
            asked.append((verb, params))
            return answers[verb]

        monkeypatch.setattr(publishing, "call", call)
        return asked

    return answering


@pytest.mark.parametrize("line", [
    LINE, msgspec.structs.replace(LINE, bundle=b"x" * 32), msgspec.structs.replace(LINE, provider=THIEF.public),
], ids=["right", "another-bundle", "another-provider"])
def test_only_a_line_about_the_bundle_is_signed(
        line: Line, folder: Path, home: Callable[[Answers], list[tuple[str, dict[str, Any]]]]) -> None:
    """A line can't be taken back: of one about another bundle, or of another's, the home gets no signature."""
    done = {"line": None, "job": "mean-power", "version": 1, "number": 1, "bundle": BUNDLE.hash.hex(), "head": "00",
            "address": None, "problem": ""}
    asked = home({"job-compose-offer": {"line": line.encoded.hex()}, "job-publish": done})
    publish = ("publish", "job.chez", "--key", "provider.key")
    if line == LINE:
        assert "is line 1" in chez_job(folder, *publish)
        (verb, given) = asked[-1]
        assert (verb, given["signature"]) == ("job-publish", LINE.sign(KEYS.signing))
    else:
        assert "nothing was signed" in chez_job(folder, *publish, code=1)
        assert [verb for verb, _ in asked] == ["job-compose-offer"]


def test_a_bundle_that_another_key_signed_is_not_offered(
        folder: Path, home: Callable[[Answers], list[tuple[str, dict[str, Any]]]]) -> None:
    """Nor is the home asked for anything."""
    asked = home({})
    save_keys(folder / "other.key", msgspec.structs.replace(KEYS, signing_seed="05" * 32))
    assert "signed by another key" in chez_job(folder, "publish", "job.chez", "--key", "other.key", code=1)
    assert asked == []


@pytest.mark.parametrize("provider", [KEYS.signing.public, THIEF.public], ids=["own", "another"])
def test_only_ones_own_batches_are_signed(
        provider: bytes, folder: Path, home: Callable[[Answers], list[tuple[str, dict[str, Any]]]]) -> None:
    """Of several one that is another provider's keeps all of them from being signed."""
    batches = [WORD, msgspec.structs.replace(WORD, provider=provider)]
    home({"job-compose-acknowledgements": {"messages": 2, "batches": [one.encoded.hex() for one in batches]},
          "job-acknowledge": {"problem": ""}})

    def tell() -> tuple[int, str]:
        return publishing.tell(None, KEYS, "Jobs", [])  # type: ignore[arg-type]

    if provider == KEYS.signing.public:
        assert tell() == (2, "")
    else:
        with pytest.raises(publishing.CatalogueInvalid, match="another provider's"):
            tell()
