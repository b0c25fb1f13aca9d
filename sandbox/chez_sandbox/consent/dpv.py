"""The names of the W3C Data Privacy Vocabulary that exported records use.

Origin: DPV 2.0, the CSV files of its modules consent_status, consent, legal_basis, entities,
entities_datasubject, entities_legalrole and process (github.com/w3c/dpv, 2.0/dpv/modules,
commit 3102267e); the other names by the vocabulary's list. A purpose is the provider's word,
as it stands in the signed manifest, and is not in this list.
"""

from typing import Final

__all__ = ("NAMESPACE", "TERMS")

NAMESPACE: Final = "https://w3id.org/dpv#"

TERMS: Final = frozenset({
    # classes
    "Consent", "ConsentExpired", "ConsentGiven", "ConsentRecord", "ConsentRefused", "ConsentWithdrawn", "Contract",
    "DataController", "DataSubject", "LegalObligation", "LegitimateInterest", "Process", "PublicInterest",
    "StorageDuration", "UntilTimeDuration", "VitalInterest",
    # properties
    "hasConsentStatus", "hasContact", "hasDataController", "hasDataSubject", "hasDuration", "hasIndicationMethod",
    "hasLegalBasis", "hasName", "hasNotice", "hasPersonalData", "hasProcess", "hasPurpose", "hasRecipient",
    "hasStorageCondition", "isIndicatedAtTime", "isIndicatedBy",
})  # fmt: skip
"""Without the prefix."""
