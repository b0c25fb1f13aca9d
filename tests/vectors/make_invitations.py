"""Prints the golden vectors of invitations: keys, link, what is inside a request, an answer; one by a code.

    python -m tests.vectors.make_invitations > tests/vectors/invitations.json

A sealed box has randomness of its own, so the request is pinned by its content.
"""

import json
import sys

from chez.spaces.card import Card
from chez.spaces.invitations import InviteKeys, Reason, Refusal, Reply, Welcome, request_plain
from chez.spaces.statements import Invite, Role
from chez.sync.codes import mailbox, new_code
from chez.sync.introducing import Guest, Host
from chez_wire.pins import pins_from
from tests.vectors.fixed import CERTIFY, CREATE, ENROL, EPOCH, LAPTOP, NEW_EPOCH, filled

__all__ = ("CARD", "CODE", "INVITE", "KEYS", "REPLY", "guest", "host", "vectors")

KEYS = InviteKeys.derive(EPOCH, CREATE.hash, filled(0x71))
INVITE = Invite(CREATE.hash, [NEW_EPOCH.hash], LAPTOP.id, KEYS.proof.public, Role.WRITER, 1, 1_767_225_600_000,
                filled(0x71))
CARD = Card.of(ENROL.issuer, [ENROL, CERTIFY])
REPLY = Reply(filled(0x72))
_LINK = KEYS.link(INVITE, "wss://relay.example", "Trip", pins_from([filled(0x77)]))
_PLAIN = request_plain(_LINK, CARD, LAPTOP, REPLY)


CODE = new_code(filled(0x74, 8))


def host() -> Host:
    """The side that shows the code, as it begins."""
    return Host(CODE, filled(0x75))


def guest() -> Guest:
    """The side where the code is typed, as it begins."""
    return Guest(CODE, CARD, LAPTOP, filled(0x76))


def _by_code() -> dict[str, str]:
    shows, types = host(), guest()
    reply = types.answer(shows.hello)
    shows.receive(reply)
    return {"code": CODE, "to_guest": mailbox(CODE, True, "invitation")[1].hex(),
            "to_host": mailbox(CODE, False, "invitation")[1].hex(), "hello": shows.hello.hex(), "reply": reply.hex(),
            "welcome": shows.welcome("chez-space:AA").hex(), "refused": shows.refuse().hex()}


def vectors() -> dict[str, dict[str, str]]:
    """An invitation by the person of all vectors, used by that same person."""
    return {
        "keys": {"epoch_secret": EPOCH.secret.hex(), "space": CREATE.hash.hex(), "nonce": filled(0x71).hex(),
                 "seed": KEYS.seed.hex(), "proof": KEYS.proof.public.hex(), "put": KEYS.put.public.hex(),
                 "sealing": KEYS.sealing.public.hex(), "inbox": KEYS.inbox.public.hex()},
        "link": {"relay": _LINK.relay, "name": _LINK.name, "pin": _LINK.pins[0], "text": _LINK.text},
        "request": {"reply": REPLY.secret.hex(), "inbox": REPLY.inbox.public.hex(), "put": REPLY.put.public.hex(),
                    "size": str(len(_PLAIN)), "plain": _PLAIN.rstrip(b"\0").hex()},
        "code": _by_code(),
        "answer": {"nonce": filled(0x73, 24).hex(), "link": "chez-space:AA",
                   "welcome": REPLY.seal(Welcome("chez-space:AA"), filled(0x73, 24)).hex(),
                   "refusal": REPLY.seal(Refusal(Reason.USED), filled(0x73, 24)).hex()},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
