"""`%load_ext workbench`: the magics `%%agent` and `%%score`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError as MagicUsageError
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from workbench.agent import Agent
from workbench.config.settings import MODEL_STAGES
from workbench.model.errors import UsageError, WorkbenchError
from workbench.notebook.dialogue_script import score
from workbench.notebook.session_page import SessionPage, show
from workbench.notebook.widget import LiveWidget
from workbench.session import Session
from workbench.views.html import safe

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

OPTIONS = ("greeting", "on_silence", "language", *MODEL_STAGES)
"""What `%%agent` can say of an agent beside its instructions."""


def one_line_errors(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Let the magic report bad input in a line, as IPython's own do."""

    @wraps(magic)
    def guarded(self: object, line: str, cell: str) -> Any:
        try:
            return magic(self, line, cell)
        except WorkbenchError as error:
            raise MagicUsageError(str(error)) from None

    return guarded


@magics_class
class WorkbenchMagics(Magics):
    """Agents and conversations in cells of their own."""

    @magic_arguments()
    @argument(
        "name", help="The variable that the agent gets; one that is there keeps what is not given here."
    )
    @argument("--greeting", help="What the agent says first.")
    @argument("--on-silence", help="What it says when the user has been silent for a while.")
    @argument("--language", help="The language that is spoken, like en.")
    @argument("--stt", help="Speech to text: name/model.")
    @argument("--llm", help="The language model: name/model.")
    @argument("--tts", help="The voice: name/model.")
    @argument("--session", help="The variable of the session (or of its widget) that gets the agent.")
    @cell_magic
    @one_line_errors
    def agent(self, line: str, cell: str) -> Agent:
        """Define an agent whose instructions are this cell, and swap it into the running session.

        %%agent host --greeting "Welcome!"
        You are the host of a quiz. Ask one question at a time.

        Run the cell again with other instructions and go on talking: from the next reply on they hold. The session is
        the one that has the agent of that name, else the only one that runs.
        """
        arguments = _split(line, lambda: parse_argstring(self.agent, line))
        if not cell.strip():
            raise UsageError("an agent without instructions", "write them under the line of %%agent")
        name = _must_name_a_variable(arguments.name, "write %%agent host")
        before = self._namespace.get(name)
        options: dict[str, Any] = {
            option: _unquoted(value)
            for option in OPTIONS
            if (value := getattr(arguments, option)) is not None
        }
        base = before if isinstance(before, Agent) else Agent(instructions="", name=name)
        agent = replace(base, instructions=cell.strip(), **options)
        session, report = self._session_for(name, before, arguments.session)
        if session is not None:
            report += _swap(session, agent)  # before the variable has it: it may be refused
        self._namespace[name] = agent
        display({"text/html": f"<small>{safe(report)}</small>", "text/plain": report}, raw=True)
        return agent

    @cell_magic
    @one_line_errors
    def score(self, line: str, cell: str) -> SessionPage:
        """Play the scene in this cell under the virtual clock, and show it.

        %%score slow turn.silence_ms=900 script.first_token_ms=300
        you: Good morning.
        agent: It is a fine day.
        (pause 2)
        you: And else?

        The first word names the variable that gets the trace; `agent=NAME` plays it with an agent of yours. What can be
        written in a scene: help(workbench.notebook.dialogue_script).
        """
        name, settings, script = "", dict[str, Any](), dict[str, Any]()
        for word in _split(line, lambda: shlex.split(line)):
            key, equals, value = word.partition("=")
            if not equals and not name and word.isidentifier():
                name = _must_name_a_variable(word, "write %%score slow")
            elif not equals:
                raise UsageError(
                    f"{word!r} is no setting", "write NAME and settings like turn.silence_ms=300"
                )
            elif key.startswith("script."):
                script[key.removeprefix("script.")] = _value(value)
            else:
                settings[key] = _value(value)
        agent = self._agent(settings.pop("agent")) if "agent" in settings else None
        trace = score(cell, {**settings, "script": script}, agent=agent)
        if name:
            self._namespace[name] = trace
        return show(trace)

    @property
    def _namespace(self) -> dict[str, Any]:
        assert self.shell is not None
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    def _agent(self, name: Any) -> Agent:
        agent = self._namespace.get(str(name))
        if not isinstance(agent, Agent):
            raise UsageError(f"{name} is no Agent here", "define it with %%agent, or write agent=NAME of one")
        return agent

    def _session_for(self, name: str, before: object, chosen: str | None) -> tuple[Session | None, str]:
        """Return the session that the agent goes into, and what to report about it."""
        running = dict(_running(self._namespace))
        if chosen is not None:
            if chosen not in running:
                names = ", ".join(running) or "none runs"
                raise UsageError(f"{chosen} is no running session", f"there are: {names}")
            running = {chosen: running[chosen]}
        else:
            same = {key: it for key, it in running.items() if it.agent is before or it.agent.name == name}
            running = same or running
        if len(running) > 1:
            raise UsageError(f"several sessions run: {', '.join(running)}", "choose one: --session NAME")
        for key, session in running.items():
            return session, f"{name} goes into {key}: from the next reply on"
        return None, f"{name} is defined; no session runs that it could go into"


def _running(namespace: Mapping[str, Any]) -> Iterator[tuple[str, Session]]:
    """Yield the sessions of variables that are not over, each once; a widget of ours stands for its session."""
    sessions: set[int] = set()
    for name, value in sorted(namespace.items(), key=lambda item: item[0].startswith("_")):
        session = value.session if isinstance(value, LiveWidget) else value
        if isinstance(session, Session) and not session.over and id(session) not in sessions:
            sessions.add(id(session))
            yield name, session


def _swap(session: Session, agent: Agent) -> str:
    """Swap the agent in, and those of its models that are others than before; return what to report of these."""
    stages = {stage: getattr(agent, stage) for stage in MODEL_STAGES}
    changed = {
        stage: model for stage, model in stages.items() if model not in (None, getattr(session.agent, stage))
    }
    session.swap(**changed, agent=agent)
    models = ", ".join(f"{stage} {model}" for stage, model in changed.items())
    return f"; {models} once started (a notice says if it cannot)" if models else ""


def _split(line: str, work: Callable[[], Any]) -> Any:
    """Return what `work` splits the line into. Raises UsageError for an open quote."""
    try:
        return work()
    except ValueError as error:
        raise UsageError(f"{line.strip()!r}: {str(error).lower()}", "close the quotes") from None


def _must_name_a_variable(word: str, hint: str) -> str:
    if not word.isidentifier() or iskeyword(word):
        raise UsageError(f"{word!r} cannot name a variable", hint)
    return word


def _value(text: str) -> Any:
    """Return a number, true, a list, … written as JSON; anything else is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _unquoted(text: str) -> str:
    """Return a word without its quotes, which IPython leaves around it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def load(shell: InteractiveShell) -> None:
    """Do what `%load_ext workbench` asks for."""
    shell.register_magics(WorkbenchMagics)
