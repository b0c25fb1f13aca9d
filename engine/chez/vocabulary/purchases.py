"""What was bought, on what terms, and what is claimed back."""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar

import msgspec

__all__ = ("Claim", "Contract", "Receipt", "ReceiptLine")


class Receipt(msgspec.Struct, kw_only=True):
    """One purchase, as the till or the shop's website wrote it; what was bought is in its lines.

    <https://schema.org/Order>; OMG ARTS `RetailTransaction`.
    """

    __collection__: ClassVar[str] = "receipts"
    __identity__: ClassVar[tuple[str, ...]] = ("seller", "reference")
    __version__: ClassVar[int] = 1

    seller: str
    """The shop or chain, as it calls itself in its exports."""
    reference: str
    """The seller's number of the receipt."""
    at: datetime
    """When it was paid or ordered, UTC."""
    total: Decimal
    """What was to be paid, in `currency`, taxes included and after reductions."""
    currency: str | None
    """ISO 4217 code of all amounts of the receipt."""
    full: Decimal | None = None
    """What it would have been without reductions, in `currency`."""
    points: Decimal | None = None
    """What the seller's loyalty scheme credited, in the scheme's own unit."""
    articles: int | None = None
    """How many articles, as the receipt says."""
    shop: str = ""
    """The branch: its number or name."""
    online: bool = False
    """Whether it was bought from afar."""
    method: str = ""
    """How it was paid: "card", "cash", "voucher", ...; empty when not said."""


class ReceiptLine(msgspec.Struct, kw_only=True):
    """One line of a receipt: an article, or a reduction with a negative price.

    <https://schema.org/OrderItem>. A record of its own, so that queries and jobs can ask for some
    products without seeing receipts.
    """

    __collection__: ClassVar[str] = "receipt_lines"
    __identity__: ClassVar[tuple[str, ...]] = ("seller", "receipt", "number")
    __version__: ClassVar[int] = 1

    seller: str
    """The `seller` of the receipt."""
    receipt: str
    """The `reference` of the receipt."""
    number: int
    """The line's place on the receipt, from 1 if the seller counts so."""
    at: datetime | None = None
    """When it was bought, UTC: that of the receipt, repeated for windows of time."""
    label: str = ""
    """The article, as the receipt has it."""
    barcode: str = ""
    """GTIN (EAN-13, EAN-8, UPC), digits only; empty for what has none."""
    quantity: Decimal | None = None
    """How many, or how much in `unit`."""
    unit: str = ""
    """UCUM code of `quantity` ("kg", "L"); empty for pieces."""
    price: Decimal | None = None
    """Price of one piece or unit as printed, in `currency`, taxes included."""
    currency: str | None = None
    """ISO 4217 code."""
    section: str = ""
    """Where it stands in the shop, coarsest first ("CREMERIE LS")."""
    family: str = ""
    """The seller's finer class ("FROMAGE LS")."""
    kind: str = ""
    """"article", "reduction", "deposit", ...; empty when not said."""


class Contract(msgspec.Struct, kw_only=True):
    """What a supplier and a person agreed on: energy, telephone, insurance, a subscription.

    <https://schema.org/Service> with <https://schema.org/Offer>; FHIR `Contract` and `Coverage` for insurance.
    """

    __collection__: ClassVar[str] = "contracts"
    __identity__: ClassVar[tuple[str, ...]] = ("provider", "reference")
    __version__: ClassVar[int] = 1

    provider: str
    """The supplier or insurer, as it calls itself in its exports."""
    reference: str
    """The provider's number of the contract."""
    kind: str
    """"electricity", "gas", "water", "telephone", "home-insurance", "car-insurance", "health-insurance", ..."""
    name: str = ""
    """What the provider calls the product."""
    start: date | None = None
    """First day on which it holds."""
    end: date | None = None
    """Last day on which it holds; None when it goes on."""
    renews: bool | None = None
    """Whether it goes on after `end` unless somebody cancels."""
    price: Decimal | None = None
    """What is due every `period`, in `currency`, taxes included."""
    period: str = ""
    """ISO 8601 duration between two payments: "P1M", "P1Y"."""
    currency: str | None = None
    """ISO 4217 code of all amounts of the contract."""
    subject: str = ""
    """What it is about: a meter's number, a telephone number, a car's plate, an address."""
    ceiling: Decimal | None = None
    """The most that an insurance pays, in `currency`."""
    excess: Decimal | None = None
    """What the insured bears of each claim, in `currency`."""


class Claim(msgspec.Struct, kw_only=True):
    """What was asked of an insurer after a loss, an accident or a treatment.

    FHIR R5 `Claim` and `ExplanationOfBenefit` <https://hl7.org/fhir/R5/claim.html>.
    """

    __collection__: ClassVar[str] = "claims"
    __identity__: ClassVar[tuple[str, ...]] = ("insurer", "reference")
    __version__: ClassVar[int] = 1

    insurer: str
    """The insurer: the `provider` of the contract."""
    reference: str
    """The insurer's number of the claim; the person's own before there is one."""
    contract: str = ""
    """The `reference` of the contract."""
    kind: str = ""
    """"theft", "damage", "water", "treatment", ..."""
    occurred: date | None = None
    """The day it happened."""
    filed: date | None = None
    """The day it was handed in."""
    status: str = ""
    """"draft", "filed", "accepted", "refused", "paid"."""
    description: str = ""
    """What happened, in the person's words."""
    claimed: Decimal | None = None
    """What was asked for, in `currency`."""
    paid: Decimal | None = None
    """What the insurer paid, in `currency`."""
    currency: str | None = None
    """ISO 4217 code."""
    receipts: list[str] = []
    """What proves it: `seller/reference` of receipts."""
