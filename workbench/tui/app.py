"""The terminal application: themes, the way out, and one screen."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from textual._context import active_message_pump
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter, NoColor
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import WorkerFailed, get_current_worker

from workbench.tui import themes
from workbench.tui.commands import commands
from workbench.tui.panel_screen import PanelScreen

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ScreenKind = TypeVar("ScreenKind", bound=Screen[None])


@runtime_checkable
class Leaving(Protocol):
    """A screen that has something to close before the application ends."""

    def leave(self, code: int, reason: str) -> None:
        """Close it, then exit the application with that code."""


class WorkbenchApp(App[None]):
    """Shows one screen, live or of a recording. Leaving is always clean; `return_code` says how it ended."""

    CSS_PATH = "workbench.tcss"
    TITLE = "workbench"

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-normal"), (110, "-wide")]  # noqa: RUF012 - as App has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-medium"), (34, "-tall")]  # noqa: RUF012

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+q,ctrl+c", "quit", "Quit", id="app.quit", priority=True, key_display="^q",
            tooltip="End the session and leave. The recording stays.",
        ),
        Binding("ctrl+t", "theme", "Theme", id="app.theme", show=False, tooltip="Dark or light."),
    ]  # fmt: skip

    def __init__(self, screen: Callable[[], Screen[None]], **options: Any) -> None:
        super().__init__(**options)
        self._make_screen = screen
        for theme in themes.themes():
            self.register_theme(theme)
        self.theme = themes.preferred()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return our variables, for themes that do not have them."""
        return dict(themes.themes()[0].variables)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Take NO_COLOR at its word: no colour at all, not even grey."""
        return [*super().get_line_filters(), *([NoColor()] if self.no_color else [])]

    def get_default_screen(self) -> Screen[None]:
        """Return the one screen."""
        return self._make_screen()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Return the commands of the palette."""
        yield from commands(self, screen)

    def on_mount(self) -> None:
        """Let signals end the session like the user does, with the exit code they stand for."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in SIGNALS:
                loop.add_signal_handler(number, self._leave, 128 + number, f"signal {number.name}")

    def action_theme(self) -> None:
        """Switch between dark and light."""
        self.theme = themes.LIGHT if self.current_theme.dark else themes.DARK

    def first(self, kind: type[ScreenKind]) -> ScreenKind:
        """Return the one screen, whatever dialog lies above it."""
        screen = self.screen_stack[0]
        assert isinstance(screen, kind)
        return screen

    async def action_quit(self) -> None:
        """Leave cleanly."""
        self._leave(0, "stopped")

    def _handle_exception(self, error: Exception) -> None:
        """Drop a plugin's panel that raised; anything else ends the application (docs/decisions/0080)."""
        screen = self.screen_stack[0] if self.screen_stack else None
        owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        if isinstance(error, WorkerFailed):
            owners.append(get_current_worker().node)
        else:  # a timer's callback may be a mere function
            owners.append(active_message_pump.get(None))
        widgets = [owner for owner in owners if isinstance(owner, Widget) and owner.is_attached]
        if isinstance(screen, PanelScreen) and any(screen.panels.drop(widget, error) for widget in widgets):
            return
        super()._handle_exception(error)

    def _leave(self, code: int, reason: str) -> None:
        screen = self.screen_stack[0]
        if isinstance(screen, Leaving):
            screen.leave(code, reason)
        else:
            self.exit(return_code=code)
