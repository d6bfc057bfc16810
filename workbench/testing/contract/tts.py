"""`check_tts`: what the engine relies on in text to speech."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import numpy as np

from workbench.engine.interfaces import Speech, Tts
from workbench.model.audio import Samples, first_audible
from workbench.model.conversation import Word
from workbench.plugin.hookspecs import ProviderOptions
from workbench.testing.contract.rules import Ledger, Maker, Report, Rule, factory, shown
from workbench.testing.contract.stage import Use, check
from workbench.testing.contract.stream import is_over_when_left, items_of
from workbench.testing.contract.texts import LONG, ODD
from workbench.testing.contract.trial import Trial

MEMBERS = {"name": str, "rate": int, "starts": int, "warm": None, "speak": None}
RATES = range(8_000, 48_001)
"""Hz."""
SAID = "The capital of France is Paris. It lies on the river Seine."
BRIEFLY = "Well, yes."
LATE_MS = 250.0
"""A word may end so much after the sound, ms: models round their times."""


def check_tts(
    make: Maker[Tts],
    *,
    options: ProviderOptions | None = None,
    failing: Callable[[], Tts] | None = None,
    deadline_s: float = 30.0,
) -> Report:
    """Check a text to speech. Raises BrokenRule.

    `failing` gives one whose calls have to fail (a server that is not there, a wrong key), to see that it says why. No
    call may take longer than `deadline_s`.
    """
    ledger = Ledger("tts")

    async def whole(tts: Tts) -> None:
        pieces = await _speak(ledger, tts, SAID)
        ledger.need(pieces, Rule.ANSWERS, "it spoke an ordinary sentence with nothing")
        _whole(ledger, tts, pieces)

    async def more(trial: Trial, tts: Tts) -> None:
        await is_over_when_left(trial, lambda: tts.speak(SAID), "speak()")
        await _forgets(trial, tts)

    def odd(text: str) -> Callable[[Tts], Coroutine[Any, Any, Any]]:
        return lambda tts: _speak(ledger, tts, text, take=1)

    use = Use(
        MEMBERS,
        whole,
        lambda tts: _speak(ledger, tts, BRIEFLY),
        {what: odd(text) for what, text in ODD.items()},
        {what: odd(text) for what, text in LONG.items()},
        more,
    )
    return check(factory(make, "tts", options), use, ledger, failing, deadline_s)


async def _speak(ledger: Ledger, tts: Tts, text: str, take: int | None = None) -> list[Speech]:
    """The pieces of a call; none may change after it came."""
    given: list[Samples] = []

    def keep(piece: object) -> None:
        _check_piece(ledger, piece)
        assert isinstance(piece, Speech)
        given.append(piece.samples.copy())

    ledger.need(tts.rate in RATES, Rule.FORMAT, f"a rate of {tts.rate} Hz is none")
    pieces: list[Speech] = await items_of(ledger, tts.speak(text), "speak()", take, keep)
    same = all(np.array_equal(piece.samples, copy) for piece, copy in zip(pieces, given, strict=True))
    ledger.need(
        same, Rule.FORMAT, "a piece changed after it was given", "give each piece an array of its own"
    )
    return pieces


async def _forgets(trial: Trial, tts: Tts) -> None:
    """Left in the middle of a long text, it speaks the next one and nothing else."""

    async def seconds() -> float:
        pieces = await trial.done("a call", _speak(trial.ledger, tts, BRIEFLY))
        return sum(len(piece.samples) for piece in pieces) / tts.rate

    alone = await seconds()
    await trial.done("a long call", _speak(trial.ledger, tts, LONG["a text of 10,000 characters"], take=1))
    after = await seconds()
    trial.ledger.need(
        after <= 2 * alone + 1,
        Rule.FORGETS,
        f"a text took {alone:.1f} s to say, and {after:.1f} s after a long one that was left",
    )
    trial.ledger.kept(Rule.FORGETS, after - alone, "s longer")


def _check_piece(ledger: Ledger, piece: object) -> None:
    if not isinstance(piece, Speech):
        raise ledger.broken(Rule.FORMAT, f"it streamed {shown(piece)}, not Speech")
    check_samples(ledger, piece.samples)
    fits = isinstance(piece.words, tuple) and all(isinstance(word, Word) for word in piece.words)
    ledger.need(fits, Rule.FORMAT, f"words must be a tuple of Word, not {shown(piece.words)}")


def check_samples(ledger: Ledger, samples: object) -> None:
    """BrokenRule unless it is mono PCM16: int16, of one dimension."""
    if not isinstance(samples, np.ndarray):
        raise ledger.broken(Rule.FORMAT, f"samples must be an array, not {shown(samples)}")
    fits = samples.dtype == np.int16 and samples.ndim == 1
    shape = f"{samples.dtype} of shape {samples.shape}"
    ledger.need(fits, Rule.FORMAT, f"samples must be int16 of shape (n,), not {shape}")


def _whole(ledger: Ledger, tts: Tts, pieces: list[Speech]) -> None:
    """A whole sentence: it can be heard, and its words are spoken in order and within the sound."""
    sound = np.concatenate([piece.samples for piece in pieces])
    ledger.need(
        first_audible(sound, tts.rate) is not None,
        Rule.ANSWERS,
        "nothing can be heard of an ordinary sentence",
    )
    ledger.need(
        sound[:2].tobytes() != b"RIFF",
        Rule.FORMAT,
        "the sound begins with the header of a wav file",
        "take it off",
    )
    words = [word for piece in pieces for word in piece.words]
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    ledger.need(all(map(math.isfinite, times)), Rule.FORMAT, "the time of a word is not finite")
    ordered = all(word.start_ms <= word.end_ms for word in words) and all(
        before.start_ms <= after.start_ms for before, after in pairwise(words)
    )
    ledger.need(ordered, Rule.FORMAT, "the times of words are not in order")
    end_ms = len(sound) * 1000 / tts.rate + LATE_MS
    within = not times or (min(times) >= 0 and max(times) <= end_ms)
    ledger.need(
        within,
        Rule.FORMAT,
        f"words end at {max(times, default=0):.0f} ms, the sound at {end_ms - LATE_MS:.0f} ms",
        "count from the first sample of the whole speak() call",
    )
    ledger.kept(Rule.FORMAT, len(pieces), "pieces")
