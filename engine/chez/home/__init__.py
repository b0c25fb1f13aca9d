"""A home: what a device opens. One person's encrypted store and the spaces in it."""

from chez.home.backup import BackupReport
from chez.home.devices import DeviceInfo, Devices, Rotated
from chez.home.diagnosis import Diagnosis, doctor
from chez.home.evidence import Evidence
from chez.home.examine import Finding
from chez.home.exporting import ExportReport
from chez.home.home import Home
from chez.home.hosting import Hosting
from chez.home.importing import ImportReport
from chez.home.invitations import Invitation
from chez.home.lifecycle import create, join, open
from chez.home.pairing import Pairing
from chez.home.passphrases import change_passphrase
from chez.home.recovery import Recovered, recover
from chez.home.renewal import Renewal
from chez.home.reports import CollectionInfo, HomeStatus, SpaceStatus, SyncReport
from chez.home.restoring import Restored, become_new_device, restore
from chez.home.sharing import Member
from chez.home.space import Space
from chez.home.transaction import Transaction
from chez.home.unlocking import Keyring
from chez.home.wiping import Wiped, wipe
from chez.store.keyring import KeyringStatus

__all__ = (
    "BackupReport", "CollectionInfo", "DeviceInfo", "Devices", "Diagnosis", "Evidence", "ExportReport", "Finding",
    "Home", "HomeStatus", "Hosting", "ImportReport", "Invitation", "Keyring", "KeyringStatus", "Member",
    "Pairing", "Recovered", "Renewal", "Restored", "Rotated",
    "Space", "SpaceStatus", "SyncReport", "Transaction", "Wiped", "become_new_device", "change_passphrase",
    "create", "doctor", "join", "open", "recover", "restore", "wipe",
)
