"""`check_tool`: what the engine, and the model, rely on in a tool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from threading import Event
from typing import Any

from workbench.model.errors import UsageError
from workbench.plugin.threads import DaemonThreads
from workbench.testing.contract.cancellation import require_prompt_end
from workbench.testing.contract.check import LONG_TEXTS, ODD_TEXTS, ContractCheck, run, short_repr
from workbench.testing.contract.rules import Report, Rule
from workbench.tools.arguments import ArgumentsError
from workbench.tools.context import RunContext, ToolError
from workbench.tools.executor import InlineExecutor
from workbench.tools.result import UnencodableError, encoded
from workbench.tools.tool import Tool, as_tool

KINDS: tuple[Any, ...] = ({"x": {}}, [[]], "…", 1e300, -1, True, None)
"""A value of each kind of JSON: a parameter that takes all of them has no type."""
UNKNOWN_NAME = "there_is_no_such_argument"
ODD_CALLS = 20
"""Calls with odd texts, at most."""
DEADLINE_S = 10.0


def check_tool(
    tool: Any,
    *,
    arguments: Mapping[str, Any] | None = None,
    data: Any = None,
    deadline_s: float = DEADLINE_S,
    call: bool = True,
) -> Report:
    """Check a tool (or a function that would be one). Raises BrokenRule.

    `arguments` is an example that works; with it the tool is called some thirty times, so that what it speaks to should
    be a stand-in. Without, only tools that need no arguments are called, and none with `call=False`. `data` is what an
    agent would be given as `Agent(data=…)`. No call may take longer than `deadline_s`, nor than the tool's own
    `timeout_s`.
    """
    check = ToolCheck("tool", deadline_s)
    check.name(tool)
    try:
        return check.run(as_tool(tool), arguments, data, call)
    except UsageError as error:
        raise check.broken(Rule.SHAPE, error.reason, error.hint) from error


class ToolCheck(ContractCheck):
    """Calls a tool as the engine does, but for what the engine would do about errors."""

    tool: Tool
    schema: Mapping[str, Any]
    example: Mapping[str, Any]

    def run(self, tool: Tool, arguments: Mapping[str, Any] | None, data: Any, call: bool) -> Report:
        """Check its schema, then calls with the example."""
        self.tool = tool
        self.name(tool)
        self.schema = tool.spec.parameters
        self._check_schema()
        self._check_arguments()
        required = tool.parameters.schema.get("required")
        if not call or (arguments is None and required):
            return self.report()
        self.example = arguments or {}
        try:
            tool.parameters.parse(json.dumps(self.example))
        except ArgumentsError as error:
            text = f"the example is refused: {error}"
            raise self.broken(Rule.ANSWERS, text, "correct the example") from None
        self._data, self._state = data, dict[str, Any]()
        self.deadline_s = min(self.deadline_s, tool.timeout_s or self.deadline_s)
        run(self._check_example)
        with self.closing():
            run(self._check_calls)
        return self.report()

    # --- schema and arguments ----------------------------------------------------------------------------------------

    def _check_schema(self) -> None:
        """Require that the schema is valid, and the tool has a description."""
        from jsonschema import Draft202012Validator, SchemaError  # 60 ms

        try:
            Draft202012Validator.check_schema(self.schema)
            json.dumps(self.schema, allow_nan=False)
        except (SchemaError, TypeError, ValueError) as error:
            text = f"its schema is no JSON schema: {short_repr(str(error))}"
            raise self.broken(Rule.SHAPE, text, "correct it") from None
        hint = "write a docstring, or @tool(description=…)"
        is_described = self.tool.description.strip()
        self.require(is_described, Rule.SHAPE, "the model is not told what it does", hint)
        self.keep(Rule.SHAPE, len(self.schema.get("properties", {})), "parameters")

    def _check_arguments(self) -> None:
        """Require that impossible arguments are refused before a call, in words that the model can act on."""
        schema = self.tool.parameters.schema
        wrong = ["{", "[]", "5", '{"a": 1, "a": 2}']
        wrong += ["{}"] if schema.get("required") else []
        wrong += [json.dumps({UNKNOWN_NAME: 1})] if schema.get("additionalProperties") is False else []
        for text in wrong:
            self.require(self._refuses(text), Rule.ARGUMENTS, f"it takes {text} as arguments")
        refused = len(wrong)
        for name in self.schema.get("properties", {}):
            takes = [kind for kind in KINDS if not self._refuses(json.dumps({name: kind}), name)]
            is_typed = len(takes) < len(KINDS)
            self.require(is_typed, Rule.ARGUMENTS, f"{name} takes anything, and so says nothing")
            refused += len(KINDS) - len(takes)
        self.keep(Rule.ARGUMENTS, refused, "wrong arguments refused")

    def _refuses(self, text: str, name: str = "") -> bool:
        """Return whether these arguments are refused, by a message about that name."""
        try:
            self.tool.parameters.parse(text)
        except ArgumentsError as error:
            self.require(str(error).strip(), Rule.ARGUMENTS, f"it refuses {short_repr(text)} without a word")
            return any(name in problem for problem in error.problems)
        return False

    # --- calls -------------------------------------------------------------------------------------------------------

    async def _check_example(self) -> None:
        """Require that a call works, and its result can be written for the model."""

        async def work() -> None:
            task = asyncio.get_running_loop().create_task(self._call(self.example))
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
                raise
            error = task.exception()
            if isinstance(error, UnencodableError):
                raise self.broken(Rule.FORMAT, str(error), "give back what can be written as JSON")
            if error is not None:
                text = f"the example failed: {type(error).__name__}: {error}"
                raise self.broken(Rule.ANSWERS, text, "correct it, or the example")
            self.keep(Rule.FORMAT, len(task.result()), "characters at most")

        await self.complete("the example", work())

    async def _check_calls(self) -> None:
        """Require a free loop, and check calls at once, odd texts, cancellation."""
        before = asyncio.all_tasks()
        async with self.watching_the_loop():
            await self.require_free_loop("the example", self._call_again)
            if self.tool.concurrency != 1:
                await self._check_two()
            await self._check_odd()
            await require_prompt_end(self, self._call_again)
            await self.require_no_growth(self._call_again)
        await self.require_no_tasks(before)

    async def _check_two(self) -> None:
        async def both() -> None:
            await asyncio.gather(self._call_again(), self._call_again())

        error = (await self.finish("calls at once", both())).exception()
        text = f"of two calls at once one failed: {error}"
        hint = "or write @tool(concurrency=1): then one waits for the other"
        self.require(error is None, Rule.TOGETHER, text, hint)
        self.keep(Rule.TOGETHER, 2, "calls at once")

    async def _check_odd(self) -> None:
        """Require a result of odd texts, or an error that is meant for the model."""
        parameters = self.schema.get("properties", {}).items()
        names = [name for name, schema in parameters if schema.get("type") == "string"]
        texts = {**ODD_TEXTS, **LONG_TEXTS}
        odd = [(name, label, text) for name in names for label, text in texts.items()][:ODD_CALLS]
        for name, label, text in odd:
            task = await self.finish(f"{label} as {name}", self._call({**self.example, name: text}))
            error = task.exception()
            self.require(
                error is None or isinstance(error, ToolError | ArgumentsError),
                Rule.TOLERATES,
                f"{label} as {name} raised {type(error).__name__}: {short_repr(str(error))}",
                "raise ToolError with what the model should do instead",
            )
        self.keep(Rule.TOLERATES, len(odd), "odd texts")

    async def _call_again(self) -> None:
        """Call with the example. A `ToolError` will do: the last table may be taken by now."""
        try:
            await self._call(self.example)
        except ToolError:
            pass

    async def _call(self, arguments: Mapping[str, Any]) -> str:
        tool, bound = self.tool, self.tool.parameters.parse(json.dumps(arguments))
        over, threads = Event(), DaemonThreads("tool")
        context = (self._context(over),) if tool.takes_context else ()

        async def call() -> str:
            return encoded(await tool.function(*context, **bound))

        try:
            if tool.is_async:
                return await InlineExecutor().run(call)
            return await threads.run(lambda: encoded(tool.function(*context, **bound)))
        finally:
            over.set()
            threads.shutdown()

    def _context(self, over: Event) -> RunContext[Any]:
        return RunContext(
            tool=self.tool.name,
            call="check",
            turn=1,
            said="",
            session=None,
            data=self._data,
            state=self._state,
            _conversation=lambda: (),
            _say=lambda text: None,
            _progress=lambda text, fraction: None,
            _show=lambda picture: None,
            _cancelled=over,
        )
