"""Settings: which there are (`settings`), where values come from (`sources`), how they are checked (`validation`)."""

from workbench.config.settings import (
    DEFAULT_PROFILE,
    PROFILES,
    Settings,
    known_settings,
    known_tables,
    sentences,
)
from workbench.config.sources import find_file, load_settings, read_file
from workbench.config.validation import change

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "Settings",
    "change",
    "find_file",
    "known_settings",
    "known_tables",
    "load_settings",
    "read_file",
    "sentences",
]
