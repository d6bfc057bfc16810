"""`check_tool`: what the engine, and the model, rely on in a tool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import Any

from workbench.model.errors import UsageError
from workbench.plugin.threads import DaemonThreads
from workbench.testing.contract.cancel import ends_at_once
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import Ledger, Report, Rule, shown
from workbench.testing.contract.texts import EVERY
from workbench.testing.contract.trial import Trial, run
from workbench.tools.arguments import ArgumentsError, parse
from workbench.tools.context import RunContext, ToolError
from workbench.tools.executor import InlineExecutor
from workbench.tools.result import UnencodableError, encoded
from workbench.tools.tool import Tool, as_tool

KINDS: tuple[Any, ...] = ({"x": {}}, [[]], "…", 1e300, -1, True, None)
"""A value of each kind of JSON: a parameter that takes all of them has no type."""
NO_NAME = "there_is_no_such_argument"
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
    ledger = Ledger("tool")
    ledger.name(tool)
    try:
        made = as_tool(tool)
        ledger.name(made)
        schema = _schema(ledger, made)
    except UsageError as error:
        raise ledger.broken(Rule.SHAPE, error.reason, error.hint) from error
    _rejects(ledger, made, schema)
    example = {} if arguments is None and not made.parameters.schema.get("required") else arguments
    if example is not None and call:
        try:
            parse(json.dumps(example), made.parameters)
        except ArgumentsError as error:
            raise ledger.broken(
                Rule.ANSWERS, f"the example is refused: {error}", "correct the example"
            ) from None
        calls = _Calls(ledger, made, data, min(deadline_s, made.timeout_s or deadline_s))
        run(lambda: calls.ordinary(example))
        before = Holdings.now()
        run(lambda: calls.everything(example, schema))
        left = before.left()
        ledger.need(not left, Rule.CLOSES, f"left open: {', '.join(left[:5])}")
        ledger.kept(Rule.CLOSES, 0, "left open")
    return ledger.report()


def _schema(ledger: Ledger, tool: Tool) -> Mapping[str, Any]:
    """The schema as the model is told of it: valid, and the tool says what it does."""
    from jsonschema import Draft202012Validator, SchemaError  # 60 ms

    schema = tool.spec.parameters
    try:
        Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False)
    except (SchemaError, TypeError, ValueError) as error:
        raise ledger.broken(
            Rule.SHAPE, f"its schema is no JSON schema: {shown(str(error))}", "correct it"
        ) from None
    ledger.need(
        tool.description.strip(),
        Rule.SHAPE,
        "the model is not told what it does",
        "write a docstring, or @tool(description=…)",
    )
    ledger.kept(Rule.SHAPE, len(schema.get("properties", {})), "parameters")
    return schema


def _rejects(ledger: Ledger, tool: Tool, schema: Mapping[str, Any]) -> None:
    """What cannot be is refused before the tool is called, in words that the model can act on."""
    refused = 0
    wrong = ["{", "[]", "5", '{"a": 1, "a": 2}']
    wrong += ["{}"] if tool.parameters.schema.get("required") else []
    wrong += [json.dumps({NO_NAME: 1})] if tool.parameters.schema.get("additionalProperties") is False else []
    for text in wrong:
        ledger.need(_refused(ledger, tool, text), Rule.ARGUMENTS, f"it takes {text} as arguments")
        refused += 1
    for name in schema.get("properties", {}):
        takes = [kind for kind in KINDS if not _refused(ledger, tool, json.dumps({name: kind}), name)]
        ledger.need(len(takes) < len(KINDS), Rule.ARGUMENTS, f"{name} takes anything, and so says nothing")
        refused += len(KINDS) - len(takes)
    ledger.kept(Rule.ARGUMENTS, refused, "wrong arguments refused")


def _refused(ledger: Ledger, tool: Tool, text: str, about: str = "") -> bool:
    """Whether these arguments are refused, by a message about the one that is named."""
    try:
        parse(text, tool.parameters)
    except ArgumentsError as error:
        ledger.need(str(error).strip(), Rule.ARGUMENTS, f"it refuses {shown(text)} without a word")
        return any(about in problem for problem in error.problems)
    return False


class _Calls:
    """Calls of a tool as the engine makes them, but for what it would do about errors."""

    def __init__(self, ledger: Ledger, tool: Tool, data: Any, deadline_s: float) -> None:
        self._ledger = ledger
        self._tool = tool
        self._data = data
        self._deadline_s = deadline_s
        self._state: dict[str, Any] = {}

    async def ordinary(self, example: Mapping[str, Any]) -> None:
        """One call: it works, and what it gives can be told to the model."""
        threads = DaemonThreads("tool")
        trial = Trial(self._ledger, self._deadline_s)
        try:
            await trial.done("the example", self._worked(threads, example))
        finally:
            threads.shutdown()

    async def everything(self, example: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        """The loop kept free, calls at once, odd texts, cancellation."""
        threads = DaemonThreads("tool")
        trial = Trial(self._ledger, self._deadline_s)
        call = partial(self._again, threads, example)
        known = asyncio.all_tasks()
        try:
            async with trial.watched():
                await trial.loop_kept_free("the example", call)
                if self._tool.concurrency != 1:
                    await self._together(trial, call)
                await self._odd(trial, threads, example, schema)
                await ends_at_once(trial, call)
                await trial.nothing_grows(call)
            await trial.no_tasks(known)
        finally:
            threads.shutdown()

    async def _together(self, trial: Trial, call: Callable[[], Any]) -> None:
        tasks = [await trial.ended("calls at once", _both(call))]
        error = tasks[0].exception()
        if error is not None:
            raise self._ledger.broken(
                Rule.TOGETHER,
                f"of two calls at once one failed: {error}",
                "or write @tool(concurrency=1): then one waits for the other",
            )
        self._ledger.kept(Rule.TOGETHER, 2, "calls at once")

    async def _again(self, threads: DaemonThreads, example: Mapping[str, Any]) -> None:
        """The example once more. A `ToolError` will do: the last table may be taken by now."""
        try:
            await self._call(threads, example)
        except ToolError:
            pass

    async def _worked(self, threads: DaemonThreads, example: Mapping[str, Any]) -> None:
        task = asyncio.ensure_future(self._call(threads, example))
        await _over(task)
        error = task.exception()
        if isinstance(error, UnencodableError):
            raise self._ledger.broken(Rule.FORMAT, str(error), "give back what can be written as JSON")
        if error is not None:
            raise self._ledger.broken(
                Rule.ANSWERS,
                f"the example failed: {type(error).__name__}: {error}",
                "correct it, or the example",
            )
        self._ledger.kept(Rule.FORMAT, len(task.result()), "characters at most")

    async def _odd(
        self, trial: Trial, threads: DaemonThreads, example: Mapping[str, Any], schema: Mapping[str, Any]
    ) -> None:
        """Odd texts: a result, or an error that is meant for the model."""
        texts = [
            name for name, about in schema.get("properties", {}).items() if about.get("type") == "string"
        ]
        odd = [(name, what, text) for name in texts for what, text in EVERY.items()][:ODD_CALLS]
        for name, what, text in odd:
            task = await trial.ended(f"{what} as {name}", self._call(threads, {**example, name: text}))
            error = task.exception()
            fits = error is None or isinstance(error, ToolError | ArgumentsError)
            self._ledger.need(
                fits,
                Rule.TOLERATES,
                f"{what} as {name} raised {type(error).__name__}: {shown(str(error))}",
                "raise ToolError with what the model should do instead",
            )
        self._ledger.kept(Rule.TOLERATES, len(odd), "odd texts")

    async def _call(self, threads: DaemonThreads, arguments: Mapping[str, Any]) -> str:
        tool, bound = self._tool, parse(json.dumps(arguments), self._tool.parameters)
        over = Event()
        given = (self._context(over),) if tool.takes_context else ()

        async def called() -> str:
            return encoded(await tool.function(*given, **bound))

        try:
            if tool.is_async:
                return await InlineExecutor().run(called)
            return await threads.run(lambda: encoded(tool.function(*given, **bound)))
        finally:
            over.set()

    def _context(self, over: Event) -> RunContext[Any]:
        return RunContext(
            tool=self._tool.name,
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


async def _both(call: Callable[[], Any]) -> None:
    await asyncio.gather(call(), call())


async def _over(task: asyncio.Future[Any]) -> None:
    """Wait for it; who is cancelled meanwhile cancels it."""
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        raise
