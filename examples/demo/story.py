"""The acts of the demo, in order. Each is a few commands that anybody could type."""

import base64
import shutil
import socket
import subprocess
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from examples.demo.proxy import RecordingProxy
from examples.demo.search import Search
from examples.demo.stage import DemoFailed, Device, Stage, check, tell, title, until

from chez_wire.frames import Append, Credit, Hello, Open, Put, decode_client

__all__ = ("play",)

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = ROOT / "tests" / "data"
FILES: Final = (
    DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv",
    DATA / "energy-linky-fr" / "tempo_days_2014.csv",
    DATA / "bank-ofx" / "checking.ofx",
)
ADVISOR: Final = ROOT / "examples" / "jobs" / "tariff-advisor"
RELAY: Final = (ROOT / "relay" / "chez_relay", ROOT / "engine" / "chez_wire", ROOT / "engine" / "chez_durable")
PROVIDER: Final = "Watt Advice"
BUNDLE: Final = "tariff-advisor.chez"
NOTE: Final = "weekend-plan"
PLACE: Final = "by the sea"
COMPANY: Final = "Camille and Noor"
MEANING: Final = {
    Append: "the journal's new head, sealed for the person's own devices, at the smallest size there is",
    Credit: "tells the relay that its copy of that came back",
    Hello: "greets the relay: a version, a random number, the relay's name",
    Open: "proves that it may put into the provider's inbox: a signature",
    Put: "the one sealed message",
}


@dataclass
class Cast:
    """Who plays, and what the acts tell each other."""

    stage: Stage
    proxy: RecordingProxy
    laptop: Device
    phone: Device
    departed: list[bytes] = field(default_factory=list)
    grant: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def play(folder: Path) -> None:
    """Everything, from an empty folder to the evidence. Raises `DemoFailed`."""
    stage = Stage(folder)
    try:
        tell("""This plays Chez's main job on this machine with real programs: a blind relay, two devices of one
             person, and a company that sends code to the data instead of asking for the data. Every line that
             begins with $ is a command you could type.""")
        cast = _relay(stage)
        try:
            for act in (_home, _import, _phone, _offline, _offer, _job, _provider, _evidence):
                act(cast)
        finally:
            cast.proxy.close()
    finally:
        stage.end()


def _relay(stage: Stage) -> Cast:
    title("1. A relay that can't read")
    tell("""The relay is what devices meet at. It keeps sealed entries in order and hands them on; it has no key, and
         its program could not even load one. Between it and everybody else stands a recording proxy of this demo,
         so that at the end you can see every byte that passed.""")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    proxy = RecordingProxy(port)
    (stage.folder / "relay.address").write_text(proxy.name)
    stage.start(
        "chez-relay", "serve", "--listen", f"127.0.0.1:{port}", "--name", proxy.name, "--data", "relay",
        "--log-file", "relay.log", wait_for=r"ws://\S+",
    )  # fmt: skip
    laptop = Device(stage, "laptop", "four quiet otters dance")
    return Cast(stage, proxy, laptop, Device(stage, "phone", "a rainy day in Brest"))


def _home(cast: Cast) -> None:
    title("2. A home on the laptop")
    tell("""`chez init` makes an encrypted database and the person's keys. The keys grow from 24 words, shown once
         (here: written to a file that only you can read). `chez up` unlocks it for the commands that follow.""")
    cast.laptop.unlocking("init", "--name", "laptop", "--words-file", "recovery-words")
    cast.laptop.up()
    cast.laptop.run("relay", cast.proxy.url)


def _import(cast: Cast) -> None:
    title("3. Data comes home")
    tell("""A year of electricity readings, as the French grid operator exports them (real, given by a volunteer), the
         calendar of Tempo days, and a bank statement. Each kind of file is recognised.""")
    (cast.stage.folder / "exports").mkdir()
    for file in FILES:
        shutil.copyfile(file, cast.stage.folder / "exports" / file.name)
    names = [f"exports/{file.name}" for file in FILES]
    cast.laptop.run("import", *names)
    check(len(cast.laptop.rows("select _id from readings")) == 17_520, "17,520 half-hours are records now")
    tell("Importing a file again changes nothing:")
    again = cast.laptop.run("import", names[-1])
    check("0 added, 0 updated, 4 unchanged" in again, "importing again added and changed nothing")
    tell("And all of it is yours to ask, across its sources, in SQL:")
    cast.laptop.run(
        "sql",
        "select t.colour, count(*) as half_hours, round(sum(r.watts) / 2000.0) as kwh from readings r "
        "join tariff_days t on t.date = substr(r.local, 1, 10) group by 1",
    )
    cast.laptop.run("sync")


def _phone(cast: Cast) -> None:
    title("4. A second device")
    tell("""The laptop shows a short code that works once; the phone types it. The two prove to each other that they
         know it (SPAKE2), through the relay, which learns nothing it could guess the code from.""")
    process, shown = cast.stage.start("chez", "--home", "laptop", "pair", "--yes", wait_for=r"chez join \S+")
    cast.phone.unlocking("join", shown.removeprefix("chez join "), "--name", "phone")
    try:
        check(process.wait(30) == 0, "the laptop has let the phone in")
    except subprocess.TimeoutExpired:
        raise DemoFailed("the laptop still waits for the phone") from None
    for name in ("readings", "tariff_days", "accounts", "transactions"):
        query = f"select * from {name} order by _id"
        ours, theirs = cast.laptop.rows(query), cast.phone.rows(query)
        check(bool(ours) and ours == theirs, f"{name}: the phone holds the same {len(theirs):,} as the laptop")
    cast.phone.up()


def _offline(cast: Cast) -> None:
    title("5. Both edit the same record while the network is down")
    cast.laptop.run("put", "notes", NOTE, "title=Weekend", "where=home", "who=Camille", "when=unknown")
    until(lambda: bool(cast.phone.value("notes", NOTE)), "the note is on the phone")
    check(True, "a moment later it is on the phone, without anybody asking")
    tell("Now the line is cut. Nothing that you do at home ever waits for the network:")
    cast.proxy.cut()
    cast.laptop.run("edit", "notes", NOTE, f"where={PLACE}", "when=Saturday")
    cast.phone.run("edit", "notes", NOTE, f"who={COMPANY}", "when=Sunday")
    apart = [device.value("notes", NOTE) for device in (cast.laptop, cast.phone)]
    check(apart[0] != apart[1], "the two differ, and both remember that something waits to leave")
    check(all(device.json("status")["pending"] for device in (cast.laptop, cast.phone)), "it is in both outboxes")
    tell("The line is back:")
    cast.proxy.mend()
    cast.laptop.run("sync")
    cast.phone.run("sync")
    until(lambda: cast.laptop.value("notes", NOTE) == cast.phone.value("notes", NOTE), "both have the same note")
    cast.laptop.run("get", "notes", NOTE)
    met = cast.phone.value("notes", NOTE)
    check(met["where"] == PLACE and met["who"] == COMPANY, "both edits are in it, on both devices")
    check(met["when"] in ("Saturday", "Sunday"), "where both changed one field, both settled on the same of the two")
    tell("The phone is switched off, so that what now leaves through the proxy can only come from the laptop.")
    cast.phone.run("lock")


def _offer(cast: Cast) -> None:
    title("6. A provider writes a job")
    tell("""A company wants to tell people which electricity tariff suits them. It does not ask for their readings. It
         writes a page of Python and a manifest that says what it reads and what may come out, and signs both.""")
    run, copy = cast.stage.run, cast.stage.folder / "tariff-advisor"
    copy.mkdir()
    for name in ("manifest.toml", "job.py"):
        shutil.copyfile(ADVISOR / name, copy / name)
    click.echo(textwrap.indent((copy / "job.py").read_text(), "    | ", lambda _: True))
    run("chez-job", "keys", "new", "--relay", cast.proxy.url, "--out", "provider.key", "--name", PROVIDER,
        "--contact", "hello@example.org")  # fmt: skip
    run("chez-job", "build", copy.name, "--key", "provider.key", "--out", BUNDLE)
    run("chez-job", "sign", BUNDLE, "--key", "provider.key")


def _job(cast: Cast) -> None:
    title("7. The job comes to the data")
    tell("The person looks at it first. Nothing runs:")
    cast.laptop.run("job", "inspect", BUNDLE)
    tell("""Then tries it. The job runs in a WebAssembly sandbox (no files, no network, no clock), inside a process
         that holds no key. The sandbox's Python is compiled for this device once: about half a minute.""")
    before = cast.proxy.mark()
    cast.laptop.run("job", "dry-run", BUNDLE)
    check(not cast.proxy.sent_since(before), "during the dry run not a byte was sent")
    tell("Then grants it, for a purpose, a time, a number of runs and a number of bits:")
    cast.laptop.run("job", "grant", BUNDLE, "--days", "30", "--leaves", "at-once", "--yes", echo=False)
    cast.laptop.run("grants")
    (granted,) = cast.laptop.json("grants")["grants"]
    cast.grant = granted["grant"]
    tell("And runs it. Before anything leaves, it is shown (--yes stands for the person's word here):")
    before = cast.proxy.mark()
    cast.laptop.run("job", "run", cast.grant[:8], "--yes")
    cast.departed = cast.proxy.sent_since(before)


def _provider(cast: Cast) -> None:
    title("8. The provider reads its result")
    cast.stage.run("chez-job", "results", "--key", "provider.key", "--bundle", BUNDLE)
    lines = (cast.stage.folder / "results.jsonl").read_text().splitlines()
    check(len(lines) == 1, "one message came")
    cast.result = msgspec.json.decode(lines[0])


def _evidence(cast: Cast) -> None:
    title("9. The evidence")
    _what_left(cast)
    _what_the_relay_holds(cast)
    tell("The provider opened this, and nothing else:")
    click.echo(f"    {cast.result['result']}")
    left = cast.laptop.json("left")["left"][0]
    check(msgspec.json.decode(left["result"]) == cast.result["result"], "it is what the laptop showed before it left")
    tell("The laptop's journal has a receipt of each step, each bound to the one before by its hash:")
    kinds = [receipt["kind"] for receipt in _receipts(cast.laptop)]
    click.echo("    " + ", ".join(kinds))
    check({"grant", "run", "release"} <= set(kinds), "the grant, the run and the release are in the journal")
    cast.laptop.run("journal", "verify")
    check(cast.laptop.json("journal", "verify")["ok"], "the journal is whole")


def _receipts(device: Device) -> list[dict[str, Any]]:
    text = device.stage.run("chez", "--home", device.name, "--json", "journal", shown=False)
    return [msgspec.json.decode(line) for line in text.splitlines()]


def _what_left(cast: Cast) -> None:
    tell("While the job ran, these frames left the laptop (recorded on the wire, keep-alive left out):")
    frames = [decode_client(payload) for payload in cast.departed]
    for frame, payload in zip(frames, cast.departed, strict=True):
        click.echo(f"    {type(frame).__name__:6} {len(payload):5} bytes  {MEANING.get(type(frame), 'unexpected')}")
    results = [type(frame) for frame in frames if not isinstance(frame, Append | Credit)]
    check(results == [Hello, Open, Put], "to the provider: a greeting, a proof, one message, and no more")
    heads = {len(payload) for frame, payload in zip(frames, cast.departed, strict=True) if isinstance(frame, Append)}
    check(len(heads) <= 1, "to the person's own devices: journal heads, all of one size whatever the job found")
    message = next(frame.item for frame in frames if isinstance(frame, Put))
    left = cast.laptop.json("left")["left"][0]
    check(bytes.fromhex(left["message"]) == message, "the message is, to the byte, the one in the journal")
    click.echo(f"    {message[:40].hex()}…  ({len(message)} bytes, sealed to the provider)")


def _what_the_relay_holds(cast: Cast) -> None:
    tell("The relay, after all this, holds:")
    cast.stage.run("chez-relay", "inspect", "--data", "relay")
    needles = _needles(cast.laptop)
    stored = {path.name: path.read_bytes() for path in sorted((cast.stage.folder / "relay").iterdir())}
    log = cast.stage.folder / "relay.log"
    places = {**stored, log.name: log.read_bytes(), "the wire": cast.proxy.recorded()}
    one = cast.laptop.rows("select _id from readings limit 1")[0]["_id"].encode()
    control = b"\0" * 100 + base64.b64encode(b"?" + one) + b"\0" * 100
    search = Search(needles)
    check(any(search(control)), "the search finds a record's id that was hidden in base64 on purpose")
    tell(f"""Now it looks for {len(needles):,} texts (every record's id, the time of every reading, every transaction,
         names of collections, fields and devices, the job's parameters), as they are and in UTF-16, hexadecimal and
         base64, in every file of the relay, in its log, and in everything that passed on the wire:""")
    for name, data in places.items():
        found = list(search(data))
        if found:
            raise DemoFailed(f"{name} contains {found[:3]}")
        click.echo(f"    {name:20} {len(data):11,} bytes  nothing found")
    check(sum(map(len, stored.values())) > 500_000, "the relay stored it all and can read none of it")


def _needles(laptop: Device) -> list[bytes]:
    """What must not be found: texts long enough not to be found by chance."""
    found: set[str] = set()
    for name in ("readings", "tariff_days", "accounts", "transactions", "notes"):
        found.add(name)
        for row in laptop.rows(f"select * from {name}"):
            found |= {str(value) for value in row.values() if isinstance(value, str)} | set(row)
    found |= {"laptop", "tariff-advisor", PLACE, COMPANY, "least_days", "off_peak", "cheapest", "0.5486"}
    # What stands in the relay's own program (its table definitions, say) is no sign of a leak.
    own = b"".join(file.read_bytes() for folder in RELAY for file in sorted(folder.rglob("*")) if file.is_file())
    texts = {text.encode() for text in found if len(text.encode()) >= 6}
    return sorted(texts.difference(Search(texts)(own)))
