"""What a server says of its models, by `/models`: for `workbench doctor`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import openai

from workbench.config.models import find_model, server_of
from workbench.model.errors import WorkbenchError
from workbench.model.text import plain
from workbench.plugin.values import Check, ProviderOptions, ProviderStage
from workbench.providers.openai.client import ApiStage

ANSWER_S = 3.0
"""A server that takes longer to list its models is not waited for."""
NAMED = 8
"""Models of a server that are named at most."""


def server_checks(
    stages: Sequence[tuple[ProviderStage, ProviderOptions]], prices: Path | None, today: date
) -> list[Check]:
    """Return what a user should know of the servers of these stages and their models, after three seconds at most."""
    return asyncio.run(_checks(stages, prices, today))


async def _checks(
    stages: Sequence[tuple[ProviderStage, ProviderOptions]], prices: Path | None, today: date
) -> list[Check]:
    async with asyncio.TaskGroup() as tasks:
        checks = [
            tasks.create_task(_check(stage, replace(options, timeout_s=ANSWER_S), prices, today))
            for stage, options in stages
        ]
    return [check for task in checks for check in task.result()]


async def _check(
    stage: ProviderStage, options: ProviderOptions, prices: Path | None, today: date
) -> list[Check]:
    """Return the checks of one server: no answer, no such model, the model's end."""
    assert stage in ("stt", "llm", "tts")
    checks: list[Check] = []
    models: dict[str, Mapping[str, Any]] = {}
    try:
        api = ApiStage(stage, options)
        async with api:
            models = await _models(api)
    except WorkbenchError as error:
        return [Check("server", "missing", plain(error.reason, 300, one_line=True), error.hint, stage)]
    listed = next(
        (models[name] for name in (options.model, f"{options.model}:latest") if name in models), None
    )
    if models and listed is None:
        others = ", ".join([*models][:NAMED]) + (", …" if len(models) > NAMED else "")
        text = f"{api.endpoint.server} lists no model {plain(options.model, 100, one_line=True)}"
        checks.append(Check("model", "note", text, plain(f"it has {others}", 400, one_line=True), stage))
    end = _end(stage, options, listed or {}, prices, today)
    return [*checks, end] if end else checks


async def _models(api: ApiStage) -> dict[str, Mapping[str, Any]]:
    """Return the models that a server lists, by name; none where it has no such list. StageError without an answer."""
    with api.endpoint.request():
        try:
            response = await api.client.models.with_raw_response.list(extra_headers=api.extra_headers)
        except openai.AuthenticationError:
            raise
        except openai.APIStatusError:
            return {}
    try:
        answer = json.loads(response.text)
    except (ValueError, RecursionError):
        return {}
    data = answer.get("data", answer.get("models")) if isinstance(answer, dict) else answer
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    return {str(entry.get("id") or entry.get("name")): entry for entry in entries}


def _end(
    stage: ProviderStage,
    options: ProviderOptions,
    listed: Mapping[str, Any],
    prices: Path | None,
    today: date,
) -> Check | None:
    """Return the date on which the model ends, as the server says it, else as we know it; None without."""
    facts = find_model(server_of(options.base_url), options.model, prices)
    end: date | None
    try:
        end = date.fromisoformat(str(listed.get("shutdown_date"))[:10])
    except ValueError:
        end = facts.shutdown if facts else None
    if end is None:
        return None
    word = "ended" if end <= today else "ends"
    successor = facts.successor if facts else ""
    advice = f"use {successor}" if successor else "choose another model"
    return Check(
        "model", "note", f"{plain(options.model, 100, one_line=True)} {word} on {end}", advice, stage
    )
