"""pytest runs saved turns: each folder with a `workbench-test.toml` is a test (`workbench save-test`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workbench.replay import SAVED_TURN

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take the file that says what is expected of a saved turn."""
    if file_path.name == SAVED_TURN:
        return SavedTurnFile.from_parent(parent, path=file_path)
    return None


class SavedTurnFile(pytest.File):
    """The file of a saved turn."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the one test of it, called by its folder."""
        yield SavedTurnItem.from_parent(self, name=self.path.parent.name)


class SavedTurnItem(pytest.Item):
    """A saved turn that is run again."""

    def runtest(self) -> None:
        """Raise `UnexpectedTurn` where it does not come out as expected."""
        from workbench.replay.saved_turn import (
            problems_of,  # the engine, which only those pay for who have such a test
        )

        if problems := problems_of(self.path):
            raise UnexpectedTurn("\n".join(problems))

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """Return the words alone, where it is no fault of ours."""
        from workbench.model.errors import WorkbenchError

        if isinstance(excinfo.value, UnexpectedTurn | WorkbenchError):
            hint = f"what is expected stands in {self.path}"
            return f"{excinfo.value}\n\n{hint}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where it is, and its name."""
        return self.path, None, f"saved turn {self.name}"


class UnexpectedTurn(AssertionError):
    """A saved turn that did not come out as expected."""
