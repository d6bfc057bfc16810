"""The check of a chain of providers before any of them is made."""

from __future__ import annotations

import re
from typing import Any, cast

from workbench.config import Settings
from workbench.config.settings import NONE, chain_of, checked_chain
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.plugin.manager import find_provider
from workbench.plugin.values import ProviderStage


def check_chain(stage: str, choice: Any, settings: Settings) -> tuple[str, ...]:
    """Return the providers that a stage may be given. UsageError for one that is not installed, or is there twice.

    What else they need shows when they are made.
    """
    try:
        chain = chain_of(checked_chain(choice))
    except ValueError as error:
        raise UsageError(
            f"{stage} = {plain(repr(choice), 80)}: {error}", 'write "NAME/MODEL", or a list'
        ) from None
    items: dict[tuple[str, str, str], str] = {}
    for item in chain if chain != (NONE,) or stage == "llm" else ():
        try:
            provider, model = find_provider(cast(ProviderStage, stage), settings.choice(item))
        except UsageError as error:
            table = f"; or write a table [providers.{item}]" if re.fullmatch(r"[\w-]+", item) else ""
            raise UsageError(error.reason, f"{error.hint}{table}") from None
        key = provider.name, model, item if item in settings.providers else ""
        if key in items:
            raise UsageError(f"{stage}: {items[key]} and {item} are the same", "leave one of them out")
        items[key] = item
    return chain
