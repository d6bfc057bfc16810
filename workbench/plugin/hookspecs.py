"""The hooks that a plugin may implement: a table of contents.

A plugin is a module (or an object) with functions of these names, each decorated with `from workbench import hookimpl`.
They are plain functions and may take fewer arguments than stand here. All are called in threads, never on the session's
loop, so they may block; one that raises, returns something else than it says, or takes too long is named, and not
called again in that session. What the agent waits for has 250 ms (`[limits] hook_ms`), the others 5 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pluggy

if TYPE_CHECKING:
    import click

    from workbench.config import Settings
    from workbench.handle import SessionHandle
    from workbench.model.conversation import Message, ToolCall
    from workbench.plugin.values import Check, Exporter, Panel, Provider, ReaderFactory, TransportProvider
    from workbench.readers.timeline import Turn

    Tool: TypeAlias = Any  # what `@tool` makes, in `workbench.tools`, which is above plugins

hookspec = pluggy.HookspecMarker("workbench")
hookimpl = pluggy.HookimplMarker("workbench")


# --- what a plugin contributes: asked once ---------------------------------------------------------------------------


@hookspec
def workbench_tools() -> list[Tool]:  # type: ignore[empty-body]
    """Tools that every agent may use."""


@hookspec
def workbench_providers() -> list[Provider]:  # type: ignore[empty-body]
    """Providers of stages, to be chosen by name."""


@hookspec
def workbench_transports() -> list[TransportProvider]:  # type: ignore[empty-body]
    """Transports, to be chosen as `audio.source` and `audio.sink`."""


@hookspec
def workbench_commands() -> list[click.Command]:  # type: ignore[empty-body]
    """Commands of the command line, `workbench NAME`."""


@hookspec
def workbench_tui_panels() -> list[Panel]:  # type: ignore[empty-body]
    """Panels of the terminal's screens."""


@hookspec
def workbench_notebook_panels() -> list[Panel]:  # type: ignore[empty-body]
    """Panels of the notebook's live widget."""


@hookspec
def workbench_readers() -> list[ReaderFactory]:  # type: ignore[empty-body]
    """Readers of a running session's trace, made anew for each session."""


@hookspec
def workbench_exporters() -> list[Exporter]:  # type: ignore[empty-body]
    """Ways out for recordings, `workbench export --format NAME`."""


@hookspec
def workbench_checks(settings: Settings) -> list[Check]:  # type: ignore[empty-body]
    """What this plugin needs and whether it is there, for `workbench doctor`."""


# --- notifications: nobody waits for them ----------------------------------------------------------------------------


@hookspec
def workbench_session_started(session: SessionHandle) -> None:
    """A session began."""


@hookspec
def workbench_turn_started(session: SessionHandle, turn: int) -> None:
    """The user has finished: turn number `turn` is decided and will be answered."""


@hookspec
def workbench_after_llm(turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
    """The LLM answered with `text` and asks for the tools in `calls`; `turn` is None while it is not decided."""


@hookspec
def workbench_turn_ended(session: SessionHandle, turn: Turn) -> None:
    """A turn ended, with what was said, what was played of the answer, and where its time went."""


@hookspec
def workbench_session_ended(session: SessionHandle) -> None:
    """A session is over; its trace is complete."""


# --- filters: None, or the argument itself, changes nothing ----------------------------------------------------------


@hookspec
def workbench_filter_user_text(text: str) -> str | None:
    """The user's words, before they enter the conversation and reach the LLM."""


@hookspec
def workbench_before_llm(turn: int | None, messages: Sequence[Message]) -> Sequence[Message] | None:
    """The messages for the LLM, in every step of a reply, speculative ones too (`turn` is None then)."""


@hookspec
def workbench_filter_agent_text(text: str) -> str | None:
    """A chunk of the agent's words, before it enters the conversation and is spoken."""


@hookspec
def workbench_before_tts(turn: int | None, text: str) -> str | None:
    """What is about to be spoken, a chunk at a time; the conversation keeps the text as it was."""
