"""Two devices with a newer app each, through a relay: both migrate the same record, and edit it together."""

from pathlib import Path
from typing import Any

import chez
from tests.home.pairing import paired
from tests.relay.within import relay as running_relay


def _newer(value: dict[str, Any]) -> dict[str, Any]:
    return {"title": value["title"], "tags": value["tags"].split(","), "body": chez.Text(value["body"]),
            "seen": chez.Counter(value.get("seen", 0))}


async def test_both_devices_edits_of_a_record_they_migrated_at_once_are_there(tmp_path: Path) -> None:
    """List, text and counter that the migration made hold what each device did to them; nothing is quarantined."""
    async with running_relay(tmp_path / "relay") as relay, paired(tmp_path, relay.url) as (a, b):
        await a.collection("notes").put({"title": "Tea", "tags": "hot,green", "body": "Boil.", "seen": 2}, id="tea")
        await a.sync(relay.url)
        await b.sync(relay.url)
        for home, mark in ((a, "A"), (b, "B")):
            notes = home.collection("notes", version=2, migrations={1: _newer})
            async with notes.edit("tea") as draft:
                draft["tags"].append(mark)
                draft["body"].append(mark)
                draft["seen"] += 1
        for home in (a, b, a):
            await home.sync(relay.url)
        for home in (a, b):
            value = (await home.collection("notes").get("tea")).value
            assert value["tags"][:2] == ["hot", "green"] and set(value["tags"][2:]) == {"A", "B"}
            assert str(value["body"]) in ("Boil.AB", "Boil.BA") and value["seen"] == 4
            assert (await home.status()).quarantined == 0
            assert (await home.sql("SELECT seen, _version FROM notes")).rows == [(4, 2)]
