"""Settings: what there is (`settings`), where values come from (`places`), and what is wrong with them (`check`)."""

from workbench.config.check import change
from workbench.config.places import find_file, load_settings, read_file
from workbench.config.settings import (
    DEFAULT_PROFILE,
    PROFILES,
    Settings,
    known_settings,
    known_tables,
    sentences,
)

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
