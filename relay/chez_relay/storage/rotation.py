"""What a rotation does to a space's keys: the same answer from every storage."""

from dataclasses import replace

from chez_relay.storage import Done, Quotas, Refused, RotateSpace, SealedPacket, SpaceKeys
from chez_relay.storage.refusals import NOT_OWNER, STALE, over_quota
from chez_wire.login import ANY_KEY
from chez_wire.packets import PACKET_COST

__all__ = ("packets_over_quota", "rotated")


def rotated(
    keys: SpaceKeys, held: bytes, count: int, request: RotateSpace, digest: bytes, quotas: Quotas
) -> SpaceKeys | Done | Refused:
    """The keys after a rotation; `Done` where they are so already, `Refused` where it has no right.

    `held` and `digest` are the hashes of the packets that are there and that are asked for, `count` is how many are
    there.
    """
    new = request.credentials
    wanted = replace(keys, admin=request.admin, read=new.read, append=new.append, control=new.control)
    if wanted == keys and held == digest:
        return Done()
    # Before the signer: an owner who was second must hear so, also when the first took its admin key.
    # With one read key before and after, two rotations at once could not tell which came first.
    expected = (keys.read, ANY_KEY) if request.signer == keys.recovery else (keys.read,)
    if request.previous_read not in expected or new.read == keys.read:
        return STALE
    if request.signer not in (keys.admin, keys.recovery):
        return NOT_OWNER
    if len(request.packets) <= count:  # also where the quota was lowered since: nobody could be put out otherwise
        return wanted
    return packets_over_quota(request.packets, quotas) or wanted


def packets_over_quota(packets: tuple[SealedPacket, ...], quotas: Quotas) -> Refused | None:
    """A refusal when packets alone exceed a space's quota for entries, which they count in.

    A space that is full of entries is rotated all the same: whoever filled it could not be
    removed otherwise. It then takes no entry before there is room for both.
    """
    if len(packets) * PACKET_COST > quotas.space_bytes:
        return over_quota(False, quotas.space_bytes)
    return None
