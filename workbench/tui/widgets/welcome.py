"""The first sight, until somebody speaks: progress of warming up, what to do, or why it does not start."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.model.text import plain
from workbench.readers.folds.status import NOT_YET, ProviderStatus, SessionStatus

WARMED = ("stt", "llm", "tts")
"""Stages whose models are warmed up."""

FAREWELL = Content.assemble(
    ("The session has ended; nothing was said.", "bold"),
    ("\n\nCtrl+Q leaves. To talk, start it again.", "$quiet"),
)


@dataclass(frozen=True, slots=True)
class WelcomeState:
    """The session's status, or the `trouble` that keeps it from starting and what to do (`hint`)."""

    status: SessionStatus = NOT_YET
    trouble: str = ""
    hint: str = ""


class Welcome(Widget):
    """A newcomer's first sight."""

    state: reactive[WelcomeState] = reactive(WelcomeState(), layout=True)

    def render(self) -> Content:
        """Draw trouble, the end, progress or the invitation."""
        if self.state.trouble:
            return trouble(self.state)
        status = self.state.status
        if status.ended:
            return FAREWELL
        return invitation(self.content_size.width) if status.listening else warming(status)


def trouble(state: WelcomeState) -> Content:
    """Return why there is no session, and the next step."""
    return Content.assemble(
        ("✗ The session could not start\n\n", "bold $error"),
        plain(state.trouble),
        (f"\n→ {plain(state.hint)}" if state.hint else "", ""),
        ("\n\nCtrl+Q leaves.", "$quiet"),
    )


def warming(status: SessionStatus) -> Content:
    """Return every stage, and whether it is ready."""
    lines = [Content.styled("Warming up, one moment", "bold")]
    stages = ((stage, provider) for stage, provider in status.providers.items() if stage in WARMED)
    lines += [_stage(stage, provider) for stage, provider in stages]
    return Content("\n").join(lines)


def _stage(stage: str, provider: ProviderStatus) -> Content:
    name = f"{stage:<5} {plain(provider.name, one_line=True)}"
    if provider.trouble:
        return Content.assemble(("✗ ", "$error"), name, f"  {plain(provider.trouble, one_line=True)}")
    if provider.warm_ms is None:
        loading = f"  {provider.loading}" if provider.loading else ""
        return Content.styled(f"◌ {name}{loading}", "$quiet")
    return Content.assemble(("✓ ", "$agent"), name, (f"  {provider.warm_ms:.0f} ms", "$quiet"))


def invitation(width: int) -> Content:
    """Return what to do, and what will come of it."""
    first = Content.styled("Speak, or type and press Enter.", "bold")
    if width < 34:
        return first
    more = "The agent answers by voice; beside it you see where the time of each turn went."
    return first + Content.styled(f"\n\n{more}\n\nTo interrupt: speak, or press Esc.", "$quiet")
