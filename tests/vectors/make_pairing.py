"""Prints the golden vectors of pairing: a code's inboxes and the whole exchange with fixed randomness.

    python -m tests.vectors.make_pairing > tests/vectors/pairing.json
"""

import json
import sys

from chez.spaces.handover import EpochKeys, Handover
from chez.sync.codes import mailbox, new_code
from chez.sync.pairing import Bundle, NewDevice, OldDevice
from tests.vectors.fixed import CREATE, EPOCH, FIRST_STATEMENTS, HANDLE, PERSON, PHONE, filled

__all__ = ("BUNDLE", "CODE", "new_device", "old_device", "vectors")

CODE = new_code(filled(0x61, 8))
BUNDLE = Bundle(PERSON.root.public, [
    Handover(CREATE.hash, HANDLE, "wss://relay.example", [statement.raw for statement in FIRST_STATEMENTS],
             [EpochKeys.of(EPOCH)])], "wss://relay.example")


def old_device() -> OldDevice:
    """The device that shows the code, as it begins."""
    return OldDevice(CODE, filled(0x62), PERSON.root.public)


def new_device() -> NewDevice:
    """The device on which the code is typed, as it begins."""
    return NewDevice(CODE, PHONE.signing, PHONE.sealing.public, "phone", filled(0x63))


def vectors() -> dict[str, dict[str, str]]:
    """The inboxes and the messages."""
    old, new = old_device(), new_device()
    reply = new.answer(old.hello)
    old.receive(reply)
    boxes = {name: mailbox(CODE, to_new) for name, to_new in (("to_new", True), ("to_old", False))}
    inboxes = {name: box.hex() for name, (_, box) in boxes.items()}
    keys = {f"{name}_seed": key.seed.hex() for name, (key, _) in boxes.items()}
    return {"code": {"entropy": filled(0x61, 8).hex(), "code": CODE}, "inboxes": inboxes | keys,
            "messages": {"hello": old.hello.hex(), "reply": reply.hex(), "welcome": b"".join(old.admit(BUNDLE)).hex(),
                         "refused": old.refuse().hex()}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
