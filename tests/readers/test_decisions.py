"""Why the agent did or did not speak, from the golden conversations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.scenes import SCENES, TRACES
from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.folds.decisions import Account, DecisionsFold
from workbench.readers.timeline import turns
from workbench.trace.codec import decode
from workbench.views.decisions import account_lines, accounts_html, outcome_text

every_conversation = pytest.mark.parametrize("name", SCENES)


def golden(name: str) -> list[Entry]:
    lines = Path(TRACES / f"{name}.events.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for line in lines if (entry := decode(line)) is not None]


def folded(entries: list[Entry]) -> DecisionsFold:
    fold = DecisionsFold()
    for entry in entries:
        fold.feed(entry)
    return fold


def verdicts(account: Account, judge: str) -> list[str]:
    return [decision.verdict for decision in account.decisions if decision.judge == judge]


def by_text(name: str, text: str) -> Account:
    return next(account for account in folded(golden(name)).accounts if account.text == text)


@every_conversation
def test_every_turn_and_every_dismissal_has_its_account(name: str) -> None:
    entries = golden(name)
    fold = folded(entries)
    for turn in turns(entries):
        account = fold.of(turn.turn)
        assert account is not None
        assert account.latency_ms == turn.heard_latency_ms
        assert account.outcome in {"done": ("spoke", "silent")}.get(turn.status, (turn.status,))
        assert "end of turn" in {decision.judge for decision in account.decisions}
    dismissed = {it.event.utterance for it in entries if isinstance(it.event, ev.UtteranceDismissed)}
    assert dismissed == {it.utterance for it in fold.accounts if it.outcome == "dismissed"} - {None}


@every_conversation
def test_decisions_come_in_order_and_are_written_everywhere(name: str) -> None:
    for account in folded(golden(name)).accounts:
        indices = [decision.i for decision in account.decisions]
        assert indices == sorted(indices)
        assert len(account_lines(account)) >= 1 + len(indices)
        assert accounts_html([account]).count("<tr>") == 1 + len(indices)
        assert json.loads(json.dumps(account.to_json()))["key"] == account.key


def test_an_interruption_is_in_the_accounts_of_both() -> None:
    first, second = folded(golden("interruption")).accounts
    assert (first.outcome, second.outcome) == ("cut", "spoke")
    for account in (first, second):
        assert verdicts(account, "barge-in") == ["interruption"]
        verdict = next(it for it in account.decisions if it.judge == "barge-in")
        assert verdict.reason == "words"
        assert set(verdict.values) == {"after_ms", "voiced_ms", "certainty", "echo"}
    assert outcome_text(first).endswith("then cut off: interrupted: words")


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("backchannel", ["backchannel", "no words"]),
        ("echo", ["no words"]),
        ("half_duplex_and_back", ["no words"] * 2),
    ],
)
def test_what_became_no_turn_says_why_nobody_spoke(name: str, reasons: list[str]) -> None:
    silent = [account for account in folded(golden(name)).accounts if account.turn is None]
    assert [account.reason for account in silent] == reasons
    for account in silent:
        assert verdicts(account, "VAD")[0] == "speech"
        assert "no interruption" in verdicts(account, "barge-in")
        assert verdicts(account, "end of turn")[-1] == "no turn"


def test_a_threshold_that_was_raised_is_the_one_that_is_shown() -> None:
    accounts = folded(golden("backchannel")).accounts
    assert [account.decisions[0].values["threshold"] for account in accounts] == [0.5, 0.5, 0.7]


def test_echo_says_how_much_of_the_sound_it_was() -> None:
    verdict = next(it for it in folded(golden("echo")).accounts[1].decisions if it.judge == "barge-in")
    assert "echo of ourselves" in verdict.reason
    assert isinstance(verdict.values["echo"], float)
    assert verdict.values["echo"] >= 0.4


def test_a_turn_that_was_reopened_is_decided_twice() -> None:
    (account,) = folded(golden("reopened")).accounts
    assert verdicts(account, "end of turn") == ["over", "turn 1", "open again", "over", "turn 1"]
    assert "discarded" in verdicts(account, "reply")


def test_a_breaker_is_in_the_account_that_it_failed() -> None:
    fold = folded(golden("failure"))
    second, third = fold.of(2), fold.of(3)
    assert second is not None
    assert third is not None
    assert verdicts(second, "breaker") == ["llm asked again", "llm open"]
    assert outcome_text(second).startswith("did not speak: llm: ")
    assert verdicts(third, "breaker") == ["llm half open", "llm closed"]


def test_speech_that_half_duplex_does_not_listen_to_has_an_account() -> None:
    account = folded([Entry(0, 0.0, ev.SpeechIgnored(0, 0.9, 0.5))]).accounts[-1]
    assert (account.utterance, account.outcome) == (None, "dismissed")
    assert "half duplex" in outcome_text(account)
    assert account.decisions[0].values == {"probability": 0.9, "threshold": 0.5}


def test_a_recording_that_breaks_off_leaves_what_was_decided_by_then() -> None:
    entries = golden("interruption")
    for stop in range(0, len(entries), 7):
        for account in folded(entries[:stop]).accounts:
            assert outcome_text(account)


def test_a_fold_keeps_no_more_than_it_is_told_to() -> None:
    fold = DecisionsFold(keep=2)
    for number in range(5):
        fold.feed(Entry(number, 0.0, ev.SpeechStarted(number, 0)))
    assert [account.utterance for account in fold.accounts] == [3, 4]


def test_hostile_words_are_harmless_on_a_page() -> None:
    hostile = "<script>alert(1)</script>"
    account = Account("u1", 0.0, 1, text=hostile, outcome="dismissed", reason=hostile)
    assert "<script" not in accounts_html([account])
