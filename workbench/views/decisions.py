"""Why the agent did or did not speak, in words: the same in a terminal, a notebook and a report."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.model.text import plain
from workbench.readers.folds.decisions import Account, Decision, Values
from workbench.views.format import NBSP, ms
from workbench.views.html import safe, table

LABELS = {"wait_ms": "asked for", "silence_ms": "silence", "words": "words say", "after_ms": "after"}
"""What values are called where their names say too little."""


def account_title(account: Account) -> str:
    """Return `Turn 3`, or `Utterance 5, no turn`; plain text."""
    if account.turn is not None:
        return f"Turn {account.turn}"
    return (
        "Speech, not listened to" if account.utterance is None else f"Utterance {account.utterance}, no turn"
    )


def outcome_text(account: Account) -> str:
    """Return what became of it and why: `spoke 630 ms after the user`; plain text."""
    late = "" if account.latency_ms is None else f" {ms(account.latency_ms)} after the user"
    reason = plain(account.reason, 200, one_line=True)
    words = "did not speak"
    match account.outcome:
        case "spoke":
            return f"spoke{late}"
        case "cut":
            words = f"spoke{late}, then cut off" if late else "cut off"
        case "failed":
            words = f"spoke{late}, then failed" if late else words
        case "silent":
            words = "did not speak: nothing in the answer can be heard"
        case "dismissed":
            pass
        case "open":
            words = "did not speak yet: this is where the recording ends"
    return f"{words}: {reason}" if reason else words


def values_text(values: Values) -> str:
    """Return `probability 0.94, asked for 315 ms`; plain text."""
    return ", ".join(f"{_label(name)}{NBSP}{_value(name, value)}" for name, value in values.items())


def _label(name: str) -> str:
    return LABELS.get(name) or name.removesuffix("_ms").replace("_", " ")


def _value(name: str, value: float | str | None) -> str:
    if name.endswith("_ms") and isinstance(value, int | float):
        return ms(value)
    return f"{value:.3g}" if isinstance(value, float) else plain(str(value), 80, one_line=True)


def decision_text(decision: Decision) -> str:
    """Return what was decided, why, and by which values, in one line of plain text."""
    reason = plain(decision.reason, 200, one_line=True)
    return " · ".join(filter(None, (decision.verdict, reason, values_text(decision.values))))


def account_lines(account: Account) -> list[str]:
    """Return title, what was said, and a line for each decision, its time in s; plain text."""
    head = f"{account_title(account)}: {outcome_text(account)}"
    said = f"“{plain(account.text, 200, one_line=True)}”" if account.text.strip() else ""
    return [
        head,
        *([said] if said else []),
        *(f"{it.t_ms / 1000:8.2f} {it.judge:<11} {decision_text(it)}" for it in account.decisions),
    ]


def accounts_html(accounts: Iterable[Account]) -> str:
    """Return each account as what opens to the table of its decisions."""
    return "".join(map(_account_html, accounts))


def _account_html(account: Account) -> str:
    rows = [
        [
            f"{it.t_ms / 1000:.2f}{NBSP}s",
            it.judge,
            " · ".join(filter(None, (safe(it.verdict), safe(it.reason), safe(values_text(it.values))))),
        ]
        for it in account.decisions
    ]
    said = f" “{safe(account.text)}”" if account.text.strip() else ""
    head = f"<b>{account_title(account)}</b>{said}: {safe(outcome_text(account))}"
    return f"<details><summary>{head}</summary>{table(['at', 'who', 'decided'], rows)}</details>"
