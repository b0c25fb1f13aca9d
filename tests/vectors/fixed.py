"""The person, devices and epoch that all golden vectors speak of: every secret is one repeated byte."""

from chez import crypto
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch, commitment
from chez.keys.person import new_words, person_of
from chez.spaces.enrolment import enrol
from chez.spaces.statements import Create, Kind, NewEpoch, sign_statement
from chez_wire.login import handle_of

__all__ = ("ADMIN", "APPEND_SEED", "CERTIFY", "CREATE", "CREATE_NONCE", "ENROL", "ENTROPY", "EPOCH",
           "FIRST_STATEMENTS", "HANDLE", "LAPTOP", "NEW_EPOCH", "NEW_EPOCH_BODY", "PERSON", "PHONE", "SECRET", "WORDS",
           "filled")


def filled(number: int, size: int = 32) -> bytes:
    """Bytes that are all the same."""
    return bytes((number,)) * size


ENTROPY = bytes(range(32))
WORDS = new_words(ENTROPY)
PERSON = person_of(WORDS)
LAPTOP = DeviceKeys.from_seeds(filled(0x11), filled(0x12))
PHONE = DeviceKeys.from_seeds(filled(0x13), filled(0x14))
ADMIN = crypto.SigningKey.from_seed(filled(0x21))
SECRET, APPEND_SEED = filled(0x22), filled(0x23)
HANDLE = handle_of(ADMIN.public)

ENROL, CERTIFY = enrol(PERSON, LAPTOP, "laptop", filled(0x24))
CREATE_NONCE = filled(0x24)
_create = Create([CERTIFY.hash], LAPTOP.id, PERSON.root.public, Kind.PRIVATE, ADMIN.public, CREATE_NONCE, "private")
CREATE = sign_statement(_create, LAPTOP.signing)
NEW_EPOCH_BODY = NewEpoch(CREATE.hash, [CREATE.hash], LAPTOP.id, 1, [], commitment(SECRET),
                          crypto.SigningKey.from_seed(APPEND_SEED).public, ADMIN.public)
NEW_EPOCH = sign_statement(NEW_EPOCH_BODY, LAPTOP.signing)
EPOCH = Epoch(NEW_EPOCH.hash, 1, SECRET, APPEND_SEED, ADMIN.seed)
FIRST_STATEMENTS = (ENROL, CERTIFY, CREATE, NEW_EPOCH)
"""All that the private space begins with."""
