"""What a saved turn must come to: read from and written to a file that a person edits, and checked in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.config.toml import read_toml, toml_value
from workbench.config.validation import nearest
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.readers.folds.calls import CallRecord, parsed, signature
from workbench.readers.timeline import Turn
from workbench.text.turn_words import UNSPACED


class ExpectedCall(BaseModel):
    """A call of a tool by the agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """The tool."""
    arguments: dict[str, Any] | None = None
    """Its arguments, all of them; absent: any."""

    @field_validator("arguments", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """JSON as a text is for what TOML cannot write: null."""
        return parsed(value) if isinstance(value, str) else value

    def met_by(self, call: CallRecord) -> bool:
        """Decide whether it is this call."""
        return call.name == self.name and (
            self.arguments is None or parsed(call.arguments or "{}") == self.arguments
        )

    def __str__(self) -> str:
        text = "…" if self.arguments is None else json.dumps(self.arguments, ensure_ascii=False)
        return f"{self.name}(…)" if self.arguments is None else signature(CallRecord("", self.name, text))


class Expectations(BaseModel):
    """What is expected of a turn; what is absent is not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_text: str | None = None
    """What the user is understood to say; letters of any case, and punctuation does not count."""
    agent_contains: tuple[str, ...] = ()
    """Words that the answer has, each of these texts somewhere; compared in the same way."""
    agent_matches: str | None = None
    """A regular expression that is found in the answer, in any case of letters."""
    tools: tuple[ExpectedCall, ...] | None = None
    """The calls of the turn in their order; an empty list: none."""
    cut: bool | None = None
    """Whether the user interrupts the answer."""
    heard_latency_ms: float | None = Field(None, gt=0)
    """The answer is heard so long after the end of the user's speech at most, ms."""

    @field_validator("agent_matches")
    @classmethod
    def _is_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern

    def problems(self, turn: Turn, calls: Sequence[CallRecord]) -> Iterator[str]:
        """Yield what is not as expected: what it should be, and what it is."""
        if turn.error is not None:
            yield f"the turn failed: {turn.error.stage}: {turn.error.reason}\n{turn.error.hint}".rstrip()
            return
        if self.user_text is not None and _words(self.user_text) != _words(turn.user_text):
            yield _unlike("the user is understood differently", self.user_text, turn.user_text)
        said = _words(turn.agent_text)
        for text in self.agent_contains:
            if f" {_words(text)} " not in f" {said} ":
                yield _unlike("the answer lacks what it must contain", text, turn.agent_text)
        if self.agent_matches is not None and not re.search(self.agent_matches, turn.agent_text, re.I | re.S):
            yield _unlike("the answer does not match agent_matches", self.agent_matches, turn.agent_text)
        yield from self._problems_of_tools(calls)
        if self.cut is not None and self.cut != (turn.status == "cut"):
            yield (
                "the answer is not interrupted, and should be"
                if self.cut
                else (f"the answer is interrupted, after {plain(repr(turn.agent_text), 200)}")
            )
        latency_ms = turn.heard_latency_ms
        if self.heard_latency_ms is not None and (latency_ms is None or latency_ms > self.heard_latency_ms):
            after = "never heard" if latency_ms is None else f"heard after {latency_ms:.0f} ms"
            yield f"the answer is {after}, expected within {self.heard_latency_ms:.0f} ms"

    def _problems_of_tools(self, calls: Sequence[CallRecord]) -> Iterator[str]:
        if self.tools is None:
            return
        same = len(self.tools) == len(calls) and all(map(ExpectedCall.met_by, self.tools, calls))
        if not same:
            expected = ", ".join(map(str, self.tools)) or "none"
            yield _unlike("other tools are called", expected, ", ".join(map(signature, calls)) or "none")


class SavedTest(BaseModel):
    """The content of the file: which turn of the recording beside it, whose agent, and what is expected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turn: int = Field(ge=1)
    """The number of the turn in the recording."""
    agent: str | None = None
    """The agent's file, from this file's folder on; absent: the agent as it was recorded."""
    expect: Expectations = Expectations()

    @classmethod
    def read(cls, file: Path) -> SavedTest:
        """Read the file. UsageError names file, key and what is wrong."""
        _, table = read_toml(file)
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            raise _unreadable(file, first["loc"], first["type"], first["msg"]) from None

    def text(self, turn: Turn) -> str:
        """Return the file as it is first written, with what `turn` had as a comment where nothing is expected."""
        expect = self.expect
        lines = [HEAD, f"turn = {self.turn}"]
        lines += [f"agent = {toml_value(self.agent)}"] if self.agent else [NO_AGENT]
        lines += ["", "[expect]", f"user_text = {toml_value(expect.user_text or '')}", CONTAINS]
        lines += [f"agent_contains = {toml_value(expect.agent_contains)}", MATCHES]
        lines += [f"cut = {toml_value(expect.cut)}"]
        latency = turn.heard_latency_ms
        if latency is not None:
            lines += [
                f"# heard_latency_ms = {round(latency * 1.5, -2):.0f}  # at most; recorded: {latency:.0f}"
            ]
        if not expect.tools:
            lines += ["tools = []"]
        for call in expect.tools or ():
            lines += ["", "[[expect.tools]]", f"name = {toml_value(call.name)}"]
            lines += [] if call.arguments is None else [f"arguments = {_arguments(call.arguments)}"]
        return "\n".join([*lines, ""])


HEAD = """\
# A turn of a recorded conversation, saved as a test: pytest runs it again on what was recorded beside this file.
# Change what is expected here; take a line away, and it is not checked."""
NO_AGENT = '# agent = "../../../my_agent.py"  # tests that agent instead of the recorded one'
CONTAINS = "# The answer must have these words; shorten them to those that matter."
MATCHES = '# agent_matches = "(?:sunny|rain)"  # a regular expression'


def _arguments(arguments: Mapping[str, Any]) -> str:
    """Return arguments as a table; as a text of JSON where they have null, which TOML cannot write."""
    text = json.dumps(arguments, ensure_ascii=False)
    return toml_value(text if "null" in text else arguments)


def _words(text: str) -> str:
    """Return the words alone, a space between them; where a script has no spaces, each character is one."""
    spaced = re.sub(f"([{UNSPACED}])", r" \1 ", text.casefold().replace("’", "'"))
    return " ".join(re.findall(r"\w+(?:'\w+)*", spaced))


def _unlike(what: str, expected: str, actual: str) -> str:
    return f"{what}\n  expected: {plain(expected, 500, one_line=True)}\n  it is:    {plain(actual, 500, one_line=True)}"


def _unreadable(file: Path, place: tuple[int | str, ...], kind: str, message: str) -> UsageError:
    key = plain(".".join(map(str, place)), 80)
    if kind != "extra_forbidden":
        reason = message.removeprefix("Value error, ").removeprefix("Input ")
        return UsageError(f"{file}: {key}: {plain(reason, 200)}", "correct it, or save the turn again")
    tables: dict[int, type[BaseModel]] = {1: SavedTest, 2: Expectations}
    names = [*tables.get(len(place), ExpectedCall).model_fields]
    return UsageError(
        f"{file}: {key} is nothing that can be expected",
        nearest(str(place[-1]), names) or f"there are: {', '.join(names)}",
    )
