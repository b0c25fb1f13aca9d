"""The messages of this device's runs on their way out: each one's last word, and when it leaves.

The journal has it all. A run's receipt has its plan (`slots`), a release or refusal the message.
A result that is withdrawn before it leaves is followed by a refusal of the same run, whose
message leaves at the same time in its place. "sending" is written before the first attempt to
send: what may have left can't be withdrawn any more, whatever a crash or the clock does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chez_sandbox.consent.slots import Plan, leaves_at

if TYPE_CHECKING:
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = ("Leaving", "answer_over", "leavings", "run_of", "time_of")


@dataclass(frozen=True, slots=True)
class Leaving:
    """One run's message: its receipt (release or refusal), when it leaves, and how far that is."""

    receipt: "Receipt" = field(repr=False)
    leaves: datetime
    sending: bool
    """Whether it was tried to send it, so that it may have left."""
    delivered: bool

    @property
    def may_be_withdrawn(self) -> bool:
        """Whether it is a result that surely did not leave yet."""
        return self.receipt.kind == "release" and not self.sending

    @property
    def run(self) -> tuple[str, int]:
        """The grant's id and the run's number."""
        return run_of(self.receipt)


def leavings(transaction: "Transaction", **fields: str | int) -> list[Leaving]:
    """The message of each run that has one, in the order they were made; `fields` of the run, where given."""

    def runs(kind: str) -> "Sequence[Receipt]":
        return transaction.receipts(kind, **fields)

    begun = {run_of(receipt): receipt for receipt in runs("run")}
    sending, delivered = ({run_of(receipt) for receipt in runs(kind)} for kind in ("sending", "delivered"))
    last = {}
    for receipt in sorted((*runs("release"), *runs("refusal")), key=lambda receipt: receipt.number):
        last[run_of(receipt)] = receipt
    return [
        Leaving(receipt, time_of(begun[run], receipt), run in sending, run in delivered)
        for run, receipt in sorted(last.items(), key=lambda item: item[1].number)
    ]


def answer_over(transaction: "Transaction", grant: str, windows: Sequence[Sequence[str] | None]) -> Leaving | None:
    """The result that was released over exactly these windows, under this grant, or None.

    A "none" is no answer: nothing was told. Nor is there one where something is read without a window.
    """
    if None in windows:
        return None
    same = {
        run_of(receipt) for receipt in transaction.receipts("run", grant=grant) if receipt.body["windows"] == windows
    }
    told = [one for one in leavings(transaction, grant=grant) if one.run in same and one.receipt.kind == "release"]
    return told[0] if told else None


def run_of(receipt: "Receipt") -> tuple[str, int]:
    """The run that a receipt is of: its grant's id and its number."""
    return receipt.body["grant"], receipt.body["sequence"]


def time_of(begun: "Receipt", made: "Receipt") -> datetime:
    """When a message leaves, by the receipt of its run and its own."""
    # A withdrawal takes the place of what would have left: its own time must not show.
    moment = made.body.get("instead", made.time)
    began = _milliseconds(begun.time) + begun.body.get("late", 0)
    leaves = leaves_at(Plan(**begun.body["leaves"]), began, _milliseconds(moment))
    return datetime.fromtimestamp(leaves / 1000, UTC)


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
