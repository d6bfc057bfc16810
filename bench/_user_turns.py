"""What users say in a turn, made from human prompts by a seeded generator: its pauses, its end and its words.

How long a pause within a turn is (200 ms at least) follows what livekit/eot-bench publishes of real people who talk to
an agent (English, its baseline that goes by silence alone): 55.6 % outlast 300 ms, 21.7 % 600 ms, 10 % 1,000 ms and 5 %
1,600 ms, none 5 s; between these points its logarithm is taken to be even, as pauses are about log-normal with a long
tail (Campione and Véronis, A Large-Scale Multilingual Study of Silent Pause Duration, Speech Prosody 2002). So silence
alone scores here about as it does there, and other figures can be compared. Between turns people leave 0 to 200 ms most
of the time (Stivers et al., Universals and cultural variation in turn-taking in conversation, PNAS 2009): what an
answer is measured against.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from bench._prompts import Phrase, Prompt, prompts, voiced_spans
from workbench.model.audio import INPUT_RATE, Samples
from workbench.simulation.synthesis import Score, Spoken, mhm

OUTLAST = ((0.2, 1.0), (0.3, 0.556), (0.6, 0.217), (1.0, 0.10), (1.6, 0.05), (5.0, 0.001))
"""Seconds, and the share of pauses within a turn that outlast them."""
LEAD_S, TAIL_S = 0.4, 5.5
"""Silence before a turn and after it, s."""
NOISE_DB = -68.0
SHORTEST_SPAN_S = 0.1
"""The shortest silence that is a span of its own in eot-bench's rows."""
LEVEL_DB = -26.0
FILLERS = {"en": ("m", "um,"), "es": ("e", "eh,"), "fr": ("e", "euh,"), "it": ("e", "eh,")}
"""The letter that is said like a language's filler, and how that is written; the Russian speaker says no letters."""
NUMBERS = {
    "en": ("What is your telephone number?", "zero one two three four five six seven eight nine"),
    "es": ("¿Cuál es su número de teléfono?", "cero uno dos tres cuatro cinco seis siete ocho nueve"),
    "fr": ("Quel est votre numéro de téléphone?", "zéro un deux trois quatre cinq six sept huit neuf"),
    "it": ("Qual è il suo numero di telefono?", "zero uno due tre quattro cinque sei sette otto nove"),
    "ru": ("Какой у вас номер телефона?", "ноль один два три четыре пять шесть семь восемь девять"),
}
"""What an agent asks, and the digits as they are written out."""
KINDS = ("whole", "hesitant", "filler", "two sentences", "digits", "digits, asked")
SHARES = (0.36, 0.26, 0.16, 0.08, 0.07, 0.07)
"""How often each kind comes. A pause after a complete sentence, of which nobody could know that more is to come, is
made rare: the best published figures leave room for no more than 5 % of pauses."""
NATURAL_S = 0.15
"""Between phrases of which nobody hesitates, s: shorter than what counts as a pause."""
GROUPS = {"en": (3, 3, 4), "es": (3, 3, 3), "fr": (2, 2, 2, 2, 2), "it": (3, 3, 4), "ru": (3, 3, 2, 2)}
"""Telephone numbers as they are dictated: digits in each group."""


@dataclass
class UserTurn:
    """A turn of the user: its sound from a little before to long after it, its words, what the agent had said."""

    id: str
    language: str
    kind: str
    score: Score
    messages: list[dict[str, str]] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        """Its sound, 16 kHz."""
        return self.score.samples()

    @property
    def question(self) -> str:
        """What the agent had asked."""
        return self.messages[-1]["content"] if self.messages else ""

    @property
    def onset(self) -> int:
        """Its first sample."""
        return self.score.spoken[0].start

    @property
    def end(self) -> int:
        """The sample after its last word."""
        return self.score.spoken[-1].end

    @property
    def pauses(self) -> list[tuple[int, int]]:
        """The pauses between its phrases, samples."""
        return [(one.end, other.start) for one, other in pairwise(self.score.spoken) if other.start > one.end]

    def row(self, audio: Any) -> dict[str, Any]:
        """Return it as a row of livekit/eot-bench; `audio` as that wants it."""
        spans = [*self.pauses, (self.end, len(self.samples))]
        return {
            "id": self.id,
            "language": self.language,
            "audio": audio,
            "silence_spans": [
                {"start": round(start / INPUT_RATE, 3), "end": round(stop / INPUT_RATE, 3)}
                for start, stop in spans
                if stop - start >= SHORTEST_SPAN_S * INPUT_RATE
            ],
            "messages": self.messages,
            "words": [
                {
                    "word": word.text,
                    "start": round(word.start / INPUT_RATE, 3),
                    "end": round(word.end / INPUT_RATE, 3),
                }
                for phrase in self.score.spoken
                for word in phrase.words()
            ],
        }


def pause_s(chance: np.random.Generator) -> float:
    """Draw the length of a pause within a turn, s."""
    seconds, shares = zip(*OUTLAST, strict=True)
    drawn = np.log(chance.uniform(shares[-1], 1.0))
    return float(np.exp(np.interp(drawn, np.log(shares[::-1]), np.log(seconds[::-1]))))


def user_turns(language: str, count: int, seed: int = 0) -> Iterator[UserTurn]:
    """Yield so many turns of a language, the same for the same seed. MissingError without the prompts."""
    chance = np.random.default_rng([seed, list(NUMBERS).index(language)])
    whole = sentences(language)
    for number in range(count):
        kind = str(chance.choice(KINDS, p=SHARES))
        turn = UserTurn(f"{language}-{number:03d}", language, kind, Score(seed=number, noise_db=NOISE_DB))
        turn.score.silence(LEAD_S)
        if kind.startswith("digits"):
            _dictate(turn, chance)
        else:
            _say(turn, whole, chance)
        turn.score.silence(TAIL_S)
        yield turn


def sentences(language: str) -> list[Prompt]:
    """Return the prompts that are whole sentences of four words or more, at most 9 s long."""
    return [
        prompt
        for name, prompt in sorted(prompts(language).items())
        if len(prompt.text.split()) >= 4
        and "..." not in prompt.text
        and not re.search(r"[*#…]", prompt.text)
        and prompt.text[0].isupper()
        and prompt.text[-1] in ".?!"
        and len(prompt.samples) < 9 * INPUT_RATE
        and prompt.phrases
    ]


def speak(score: Score, phrase: Phrase) -> None:
    """Add a phrase to a score at the usual level."""
    wave = phrase.samples.astype(np.float32)
    wave *= 32768 * 10 ** (LEVEL_DB / 20) / max(1.0, float(np.sqrt(np.mean(np.square(wave)))))
    start = round(score.seconds * INPUT_RATE)
    score.add(np.clip(wave, -32768, 32767).astype(np.int16))
    score.spoken.append(Spoken(phrase.text, start, start + len(wave)))


def trimmed(prompt: Prompt, text: str = "") -> Phrase:
    """Return a short prompt as one phrase, without the silence around it."""
    spans = voiced_spans(prompt.samples)
    return Phrase(text or prompt.text, prompt.samples[spans[0][0] : spans[-1][1]])


def _say(turn: UserTurn, whole: list[Prompt], chance: np.random.Generator) -> None:
    """Say a sentence or two, with the pauses of the kind."""
    count = 2 if turn.kind == "two sentences" else 1
    chosen = [whole[index] for index in chance.choice(len(whole), count, replace=False)]
    phrases = [phrase for prompt in chosen for phrase in prompt.phrases]
    if turn.kind in ("hesitant", "filler"):
        phrases = hesitating(phrases, chance)
    paused = len(chosen[0].phrases) if count == 2 else int(chance.integers(1, max(2, len(phrases))))
    for number, phrase in enumerate(phrases):
        if number == paused and turn.kind == "filler":
            turn.score.silence(pause_s(chance) / 2)
            speak(turn.score, _filler(turn.language, number))
        if number:
            turn.score.silence(pause_s(chance) if turn.kind != "whole" and number == paused else NATURAL_S)
        speak(turn.score, phrase)


def _filler(language: str, seed: int) -> Phrase:
    if language not in FILLERS:
        return Phrase("э,", mhm(seed=seed)[: INPUT_RATE // 4])
    letter, written = FILLERS[language]
    return trimmed(prompts(language)[f"letters/{letter}"], written)


def hesitating(phrases: list[Phrase], chance: np.random.Generator) -> list[Phrase]:
    """Return the phrases, the longest broken in two between words, at the quietest place near its middle."""
    at = int(np.argmax([phrase.seconds for phrase in phrases]))
    phrase = phrases[at]
    words = phrase.text.split()
    if len(words) < 4:
        return phrases
    share = chance.uniform(0.35, 0.65)
    middle = round(share * len(phrase.samples))
    reach = INPUT_RATE // 5
    window = INPUT_RATE // 50
    power = np.convolve(phrase.samples.astype(np.float64) ** 2, np.ones(window), "same")
    low = max(window, middle - reach)
    cut = low + int(np.argmin(power[low : middle + reach]))
    told = np.cumsum([len(word) + 1 for word in words[:-1]]) / (len(phrase.text) + 1)
    count = 1 + int(np.argmin(np.abs(told - cut / len(phrase.samples))))
    halves = [
        Phrase(" ".join(words[:count]), phrase.samples[:cut]),
        Phrase(" ".join(words[count:]), phrase.samples[cut:]),
    ]
    return [*phrases[:at], *halves, *phrases[at + 1 :]]


def _dictate(turn: UserTurn, chance: np.random.Generator) -> None:
    """Dictate a telephone number in groups of digits."""
    question, written = NUMBERS[turn.language]
    if turn.kind == "digits, asked":
        turn.messages.append({"role": "assistant", "content": question})
    known = prompts(turn.language)
    for group, length in enumerate(GROUPS[turn.language]):
        if group:
            turn.score.silence(max(0.35, pause_s(chance)))
        for place in range(length):
            digit = int(chance.integers(10))
            if place:
                turn.score.silence(0.06)
            speak(turn.score, trimmed(known[f"digits/{digit}"], written.split()[digit]))
