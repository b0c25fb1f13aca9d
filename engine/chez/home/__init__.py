"""A home: what a device opens. One person's encrypted store and the spaces in it."""

from chez.home.backup import BackupReport
from chez.home.diagnosis import Diagnosis, doctor
from chez.home.examine import Finding
from chez.home.exporting import ExportReport
from chez.home.home import Home
from chez.home.importing import ImportReport
from chez.home.lifecycle import create, join, open
from chez.home.pairing import Pairing
from chez.home.renewal import Renewal
from chez.home.reports import CollectionInfo, HomeStatus, SyncReport
from chez.home.restoring import Restored, become_new_device, restore
from chez.home.transaction import Transaction

__all__ = (
    "BackupReport", "CollectionInfo", "Diagnosis", "ExportReport", "Finding", "Home", "HomeStatus", "ImportReport",
    "Pairing", "Renewal", "Restored", "SyncReport", "Transaction", "become_new_device", "create", "doctor", "join",
    "open", "restore",
)
