"""What each receipt of the journal says, in one plain sentence.

One function for each kind that the engine writes; `tests/journal` walks the source, and fails
for a kind without a sentence. Packages that add verbs (entry points of the group
`chez.verbs`) give theirs in `SENTENCES` of the same module. A kind that nobody knows, from a
newer Chez or an app, is shown as it is.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from chez.phrasing import how_many

__all__ = ("SENTENCES", "Names", "Sentence", "sentence")

SHORT: Final = 12
"""Characters of an id that are shown to people."""

Body = Mapping[str, Any]


class Names(msgspec.Struct, frozen=True):
    """What ids are called on this device: spaces and devices, by their ids in hexadecimal."""

    spaces: Mapping[str, str] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    devices: Mapping[str, str] = msgspec.field(default_factory=lambda: MappingProxyType({}))

    def space(self, body: Body) -> str:
        """The space that a receipt is about: the private one is named by none."""
        id = body.get("space")
        if id is None:
            return "your private space"
        name = self.spaces.get(id)
        return f"a space that is not here any more ({id[:SHORT]})" if name is None else repr(name)

    def device(self, body: Body) -> str:
        """The device that a receipt is about."""
        id = body["device"]
        name = body.get("name") or self.devices.get(id)
        return f"device {id[:SHORT]}" if not name else f"device {name!r}"


Sentence = Callable[[Body, Names], str]


def sentence(kind: str, body: Body, names: Names, others: Callable[[], Mapping[str, Sentence]]) -> str:
    """What a receipt says; `others` gives the sentences of installed packages, for a kind that is not known here."""
    found = SENTENCES.get(kind) or others().get(kind)
    try:
        return _plain(kind, body) if found is None else found(body, names)
    except (KeyError, TypeError, ValueError, AttributeError):
        return _plain(kind, body)  # another Chez wrote it, with other fields


def _plain(kind: str, body: Body) -> str:
    return f"{kind}: {msgspec.json.encode(body).decode()}"


# --- this home and what opens it --------------------------------------------------------


def _home_recovered(body: Body, names: Names) -> str:
    return f"This home was recovered from your 24 words and {body['relay']}, as device {body['name']!r}."


def _device_renewed(body: Body, names: Names) -> str:
    return (f"This home became a new device, for it was {body['why']}; {how_many(body['receipts'], 'receipt')} of "
            f"device {body['former'][:SHORT]}, which it was, {'stays' if body['receipts'] == 1 else 'stay'}: "
            "chez journal --former.")


def _repaired(body: Body, names: Names) -> str:
    renewed = " It is a new device now." if body["new device"] else ""
    doubted = " The receipts before this one did not verify." if "journal" in body else ""
    return (f"You had this home mended: {how_many(body['findings'], 'finding')}, {how_many(body['records'], 'record')} "
            f"made again, {how_many(body['entries'], 'damaged entry', 'damaged entries')} let go.{renewed}{doubted}")


def _passphrase_changed(body: Body, names: Names) -> str:
    return f"You changed the passphrase{_cost(body)}."


def _key_file_changed(body: Body, names: Names) -> str:
    return ("This home opened with a key file that it had not seen: its passphrase was changed in a copy, or an older "
            f"key file was put in place{_cost(body)}.")


def _cost(body: Body) -> str:
    return f"; each guess costs {body['memory'] >> 20} MiB" if "memory" in body else ""


# --- devices ----------------------------------------------------------------------------


def _pairing_refused(body: Body, names: Names) -> str:
    if "name" in body:
        return f"You did not let in {body['name']!r} as a device of yours."
    return "Somebody tried a wrong pairing code, which was burnt."


def _device_renamed(body: Body, names: Names) -> str:
    former = f"device {body['former']!r}" if body.get("former") else f"device {body['device'][:SHORT]}"
    return f"You renamed {former} to {body['name']!r}."


def _epoch_started(body: Body, names: Names) -> str:
    return f"You started epoch {body['number']} in {names.space(body)}: what is written since has new keys."


def _entries_beyond_removal(body: Body, names: Names) -> str:
    return (f"In {names.space(body)} {names.device(body)} wrote beyond what its removal accepted, from entry "
            f"{body['from']} on: that counts for nothing (chez space audit).")


def _equivocation(body: Body, names: Names) -> str:
    return (f"In {names.space(body)} {names.device(body)} wrote different entries under number {body['from']}: from "
            "there on nothing of it counts, until an owner picks one (chez space audit).")


def _checkpoint_made(body: Body, names: Names) -> str:
    return (f"You made a checkpoint of {names.space(body)}: {how_many(body['entries'], 'entry', 'entries')} in "
            f"{body['bytes']:,} bytes, of which {body['written']:,} are new.")


def _checkpoint_refused(body: Body, names: Names) -> str:
    return (f"A checkpoint of {names.space(body)} by {names.device(body)} was refused, and changed nothing: "
            f"{body['why']}.")


def _entry_picked(body: Body, names: Names) -> str:
    return (f"You picked entry {body['entry'][:SHORT]} of {names.device(body)} in {names.space(body)}, of those under "
            f"number {body['number']}.")


# --- spaces and who shares them ---------------------------------------------------------


def _member_added(body: Body, names: Names) -> str:
    if "invitation" in body:
        return (f"{body['name']!r} came into {names.space(body)} as {body['role']}, by invitation "
                f"{body['invitation'][:SHORT]}.")
    return f"You let {body['name']!r} into {names.space(body)}, as {body['role']}."


def _member_role(body: Body, names: Names) -> str:
    return f"You gave {body['name']!r} another role in {names.space(body)}: {body['role']}."


def _space_moved(body: Body, names: Names) -> str:
    at = f", at {body['relay']}" if body["relay"] else ""
    return f"You moved {body['name']!r} to another place{at}: members need its new link."


def _invitation_made(body: Body, names: Names) -> str:
    return (f"You made invitation {body['invitation'][:SHORT]} to {names.space(body)}: for "
            f"{how_many(body['uses'], 'person')}, as {body['role']}.")


_REFUSED: Final = {
    "expired": "it had expired", "used": "it was used up", "revoked": "it was revoked",
    "removed": "the person was in the space before", "no request": "what came was no request",
    "the person said no": "you said no",
}
"""Why an invitation let somebody not in, by the reason in the receipt."""


def _invitation_refused(body: Body, names: Names) -> str:
    if body["reason"] == "wrong code":
        return f"Somebody tried a wrong code for {names.space(body)}, which was burnt."
    who = repr(body["name"]) if "name" in body else "Somebody"
    by = f" by invitation {body['invitation'][:SHORT]}" if "invitation" in body else ""
    return f"{who} was not let into {names.space(body)}{by}: {_REFUSED[body['reason']]}."


# --- data -------------------------------------------------------------------------------


def _import(body: Body, names: Names) -> str:
    outcomes = ("added", "updated", "unchanged", "purged", "rejected")
    counts = [f"{body[outcome]:,} {outcome}" for outcome in outcomes if body[outcome]]
    end = " Reading it was stopped: import it again." if "stopped" in body else ""
    return f"You imported {body['file']!r} ({body['connector']}): {', '.join(counts) or 'nothing'}.{end}"


def _deposit_address_made(body: Body, names: Names) -> str:
    whose = f"for {body['organisation']!r}" if body["organisation"] else "for nobody yet"
    return f"You made the deposit address {body['label']!r}, {whose}: it takes {', '.join(body['collections'])}."


def _deposit_taken(body: Body, names: Names) -> str:
    outcomes = {"added": "added", "updated": "updated", "unchanged": "unchanged", "kept": "kept as they were",
                "purged": "purged before", "refused": "refused"}
    counts = [f"{body[outcome]:,} {said}" for outcome, said in outcomes.items() if body[outcome]]
    return f"{body['organisation']!r} left records for you ({body['label']!r}): {', '.join(counts)}."


_NOT_TAKEN: Final = {"too-large": "it has more than the address takes in a day"}
"""Why a message was not taken, by the reason in the receipt."""


def _deposit_refused(body: Body, names: Names) -> str:
    return f"A message of {body['organisation']!r} ({body['label']!r}) was not taken: {_NOT_TAKEN[body['why']]}."


def _deposit_dropped(body: Body, names: Names) -> str:
    return (f"At the deposit address {body['label']!r} {how_many(body['count'], 'message')} came that the organisation "
            "did not sign for it, or signed twice under one number: nothing of it was taken.")


def _export(body: Body, names: Names) -> str:
    spaces = body["spaces"]
    what = f"the space {spaces[0]!r}" if len(spaces) == 1 else how_many(len(spaces), "space")
    history = " with its history" if body["history"] else ""
    return f"You began to export {what}{history}, as plain text, into {body['to']!r}."


def _export_complete(body: Body, names: Names) -> str:
    return (f"The export into {body['to']!r} was complete: {how_many(body['records'], 'record')}, "
            f"{how_many(body['attachments'], 'attachment')}.")


def _backup(body: Body, names: Names) -> str:
    tried = " and tried it" if body["verified"] else ""
    return f"You made a backup{tried}: {body['to']!r}, {body['bytes']:,} bytes."


def _relay_changed(body: Body, names: Names) -> str:
    url, keys = body["url"], body.get("keys", 0)
    what = {"added": f"everything is kept at {url} too",
            "removed": f"nothing is kept at {url} any more",
            "set": f"{url} is the relay that your devices are known by",
            "pinned": f"{url} is dialled only if its key is {'the pinned one' if keys == 1 else f'one of {keys}'}"
            if keys else f"{url} is dialled with any key that is trusted"}[body["what"]]
    if "device" in body:
        device = names.device(body)
        return f"{device[0].upper()}{device[1:]} said that {what}: this one follows."
    return f"You said that {what}{', on this device alone' if body.get('here') else ''}."


def _says(text: str) -> Sentence:
    """A sentence with fields of the body in it, quoted (`{name!r}`) or not, and the `{where}` of its space."""
    return lambda body, names: text.format_map({**body, "where": names.space(body)})


SENTENCES: Final[Mapping[str, Sentence]] = MappingProxyType({
    "backup": _backup,
    "checkpoint-made": _checkpoint_made,
    "checkpoint-refused": _checkpoint_refused,
    "contact-added": _says("You added the contact {name!r}."),
    "contact-changed": _says("The contact {name!r} has a newer card, or another name."),
    "contact-doubted": _says("You took back that you compared safety words with {name!r}."),
    "contact-removed": _says("You forgot the contact {name!r}."),
    "contact-verified": _says("You compared safety words with {name!r}: they were the same."),
    "deposit-address-allowed": _says("You said that the deposit address {label!r} is for {organisation!r}, whose words "
                                     "are: {words}."),
    "deposit-address-contested": _says("Two keys claim to go on as {organisation!r}, at your deposit address {label!r},"
                                       " and its own signed both: nothing is taken there until you say which."),
    "deposit-address-made": _deposit_address_made,
    "deposit-address-revoked": _says("You revoked the deposit address {label!r}: nothing is taken there any more."),
    "deposit-address-succeeded": _says("{organisation!r} has a new key, which the former one signed: your deposit "
                                       "address {label!r} is for {name!r} now, whose words are: {words}."),
    "deposit-dropped": _deposit_dropped,
    "deposit-refused": _deposit_refused,
    "deposit-taken": _deposit_taken,
    "device-added": _says("You let in {name!r} as a device of yours."),
    "device-removed": _says("You removed device {name!r} from all your spaces."),
    "device-renamed": _device_renamed,
    "device-renewed": _device_renewed,
    "entries-beyond-removal": _entries_beyond_removal,
    "chunks-released": _says("You had the relay at {url} let go of what {where} does not need there any more."),
    "entries-dropped": _says("You had the relay at {url} drop entries of {where} that a checkpoint stands for."),
    "entries-missing": _says("The relay at {url} passed over entries of {where}, from number {from} on, and nobody "
                             "who may vouch for that did: what is here stays (chez sync --reseed)."),
    "entry-picked": _entry_picked,
    "epoch-started": _epoch_started,
    "equivocation": _equivocation,
    "export": _export,
    "export-complete": _export_complete,
    "export-failed": _says("The export into {to!r} failed: it is not there."),
    "export-removed": _says("What an export that was cut off had left in {folder!r} was removed."),
    "home-created": _says("You made this home, as device {name!r}."),
    "home-created-again": _says("You made this home of 24 words that you had, as device {name!r}."),
    "home-joined": _says("This home joined your others, as device {name!r}."),
    "home-recovered": _home_recovered,
    "home-taken-back": _says("You took your spaces back by your 24 words, at {relay}."),
    "import": _import,
    "invitation-asked": _says("You asked at {relay} to be let into {name!r}."),
    "invitation-made": _invitation_made,
    "invitation-refused": _invitation_refused,
    "invitation-revoked": lambda body, names: (
        f"You revoked invitation {body['invitation'][:SHORT]} to {names.space(body)}."),
    "key-file-changed": _key_file_changed,
    "keyring-added": _says("You let the system's keyring ({keyring}) open this home."),
    "keyring-file-changed": _says("The system's keyring may open this home: it has a file for that, of which the "
                                  "journal had not told."),
    "keyring-removed": _says("The keyring opens this home no longer."),
    "member-added": _member_added,
    "member-removed": _says("You took {name!r} out of {where}."),
    "member-role": _member_role,
    "pairing-refused": _pairing_refused,
    "passphrase-changed": _passphrase_changed,
    "data-key-chosen": _says("You said that {name!r} is published by the key whose words are: {words}."),
    "data-key-succeeded": _says("The publisher of {name!r} has a new key, which the former one signed: its words are "
                                "{words}."),
    "data-published": lambda body, _: (f"You published version {body['number']} of the open data {body['dataset']!r}: "
                                       f"{how_many(body['rows'], 'row')} in all."),
    "public-space-created": _says("You made the public space {name!r}."),
    "purge": _says("You purged the record {id!r} of {collection!r} in {where}: its content is erased."),
    "relay-changed": _relay_changed,
    "repaired": _repaired,
    "space-archived": _says("You put {name!r} away: nobody writes in it."),
    "space-created": _says("You made the space {name!r}."),
    "space-deleted": _says("You deleted {name!r}, with all that was in it."),
    "space-followed": _says("You follow the public space {name!r}, at {relay}."),
    "space-forgotten": _says("You erased {name!r} on this device."),
    "space-joined": _says("You came into {name!r}, at {relay}."),
    "space-left": _says("You left {name!r}."),
    "space-moved": _space_moved,
    "space-renamed": _says("You renamed {former!r} to {name!r}."),
    "space-taken-out": _says("You took {name!r} out again: members write in it."),
})
"""The sentence of each kind of receipt."""
