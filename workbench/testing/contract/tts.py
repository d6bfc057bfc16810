"""`check_tts`: what the engine relies on in text to speech."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from workbench.engine.interfaces import Speech, Tts
from workbench.model.audio import Samples, first_audible
from workbench.model.conversation import Word
from workbench.plugin.values import ProviderOptions
from workbench.testing.contract.check import LONG_TEXTS, ODD_TEXTS, Factory, resolve, short_repr
from workbench.testing.contract.model import ModelCheck
from workbench.testing.contract.rules import Report, Rule

MEMBERS = {"name": str, "rate": int, "starts": int, "warm": None, "speak": None}
RATES = range(8_000, 48_001)
"""Hz."""
SENTENCES = "The capital of France is Paris. It lies on the river Seine."
PHRASE = "Well, yes."
LATE_MS = 250.0
"""A word may end so much after the sound, ms: models round their times."""


def check_tts(
    make: Factory[Tts],
    *,
    options: ProviderOptions | None = None,
    failing: Callable[[], Tts] | None = None,
    deadline_s: float = 30.0,
) -> Report:
    """Check a text to speech. Raises BrokenRule.

    `failing` gives one whose calls have to fail (a server that is not there, a wrong key), to see that it says why. No
    call may take longer than `deadline_s`.
    """
    return TtsCheck("tts", deadline_s, MEMBERS, ODD_TEXTS, LONG_TEXTS).run(
        resolve(make, "tts", options), failing
    )


class TtsCheck(ModelCheck[Tts]):
    """Lets a TTS speak, and checks the format of its pieces."""

    async def call(self, provider: Tts) -> None:
        """Speak two ordinary sentences."""
        pieces = await self._speak(provider, SENTENCES)
        self.require(pieces, Rule.ANSWERS, "it spoke an ordinary sentence with nothing")
        self._require_whole(provider.rate, pieces)

    async def call_briefly(self, provider: Tts) -> object:
        """Speak two words."""
        return await self._speak(provider, PHRASE)

    async def call_with(self, provider: Tts, odd: str) -> object:
        """Speak that text, and leave after a piece."""
        return await self._speak(provider, odd, take=1)

    async def check_stage(self, provider: Tts) -> None:
        """Check leaving, and that nothing is remembered."""
        await self.check_leaving(lambda: provider.speak(SENTENCES), "speak()")
        await self._check_memory(provider)

    async def _check_memory(self, tts: Tts) -> None:
        """Require that nothing of a long text that was left is spoken with the next one."""

        async def seconds() -> float:
            pieces = await self.complete("a call", self._speak(tts, PHRASE))
            return sum(len(piece.samples) for piece in pieces) / tts.rate

        alone = await seconds()
        (text,) = LONG_TEXTS.values()
        await self.complete("a long call", self._speak(tts, text, take=1))
        after = await seconds()
        longer = f"a text took {alone:.1f} s to say, and {after:.1f} s after a long one that was left"
        self.require(after <= 2 * alone + 1, Rule.FORGETS, longer)
        self.keep(Rule.FORGETS, after - alone, "s longer")

    async def _speak(self, tts: Tts, text: str, take: int | None = None) -> list[Speech]:
        """Return the pieces of a call; none may change after it came."""
        copies: list[Samples] = []

        def check(piece: object) -> None:
            if not isinstance(piece, Speech):
                raise self.broken(Rule.FORMAT, f"it streamed {short_repr(piece)}, not Speech")
            self.require_samples(piece.samples)
            words = piece.words
            fits = isinstance(words, tuple) and all(isinstance(word, Word) for word in words)
            self.require(fits, Rule.FORMAT, f"words must be a tuple of Word, not {short_repr(words)}")
            copies.append(piece.samples.copy())

        self.require(tts.rate in RATES, Rule.FORMAT, f"a rate of {tts.rate} Hz is none")
        pieces: list[Speech] = await self.items_of(tts.speak(text), "speak()", take, check)
        same = all(np.array_equal(piece.samples, copy) for piece, copy in zip(pieces, copies, strict=True))
        hint = "give each piece an array of its own"
        self.require(same, Rule.FORMAT, "a piece changed after it was given", hint)
        return pieces

    def _require_whole(self, rate: int, pieces: list[Speech]) -> None:
        """Require that a whole sentence is audible, with its words in order and within the sound."""
        sound = np.concatenate([piece.samples for piece in pieces])
        audible = first_audible(sound, rate) is not None
        self.require(audible, Rule.ANSWERS, "nothing can be heard of an ordinary sentence")
        is_raw = sound[:2].tobytes() != b"RIFF"
        self.require(is_raw, Rule.FORMAT, "the sound begins with the header of a wav file", "take it off")
        words = [word for piece in pieces for word in piece.words]
        times = [time for word in words for time in (word.start_ms, word.end_ms)]
        self.require(all(map(math.isfinite, times)), Rule.FORMAT, "the time of a word is not finite")
        ordered = all(word.start_ms <= word.end_ms for word in words) and all(
            before.start_ms <= after.start_ms for before, after in pairwise(words)
        )
        self.require(ordered, Rule.FORMAT, "the times of words are not in order")
        end_ms = len(sound) * 1000 / rate
        self.require(
            not times or (min(times) >= 0 and max(times) <= end_ms + LATE_MS),
            Rule.FORMAT,
            f"words end at {max(times, default=0):.0f} ms, the sound at {end_ms:.0f} ms",
            "count from the first sample of the whole speak() call",
        )
        self.keep(Rule.FORMAT, len(pieces), "pieces")
