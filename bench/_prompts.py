"""Human speech with its words: the prompts of Debian's `asterisk-core-sounds-*`, one speaker a language, 16 kHz.

They are CC BY-SA 3.0: installed from Debian, decoded by ffmpeg, never kept here. The texts say what is spoken, not
when: `phrases` cuts a prompt where its speaker pauses, and gives each phrase the words that fit its length and the
punctuation.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from workbench.model.audio import INPUT_RATE, Samples, audible_blocks, block_levels, noise_floor_db
from workbench.model.errors import MissingError

LANGUAGES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
"""The languages, and the folder of each one's speaker."""
SOUNDS, TEXTS = Path("/usr/share/asterisk/sounds"), Path("/usr/share/doc")
SAMPLES_A_BYTE = 2
"""G.722 at 64 kbit/s."""
BLOCK = INPUT_RATE // 200
PAUSE_S, SHORTEST_S = 0.18, 0.12
"""Silence that parts two phrases, and the shortest phrase, s."""
NOISIEST_DB = -55.0
"""The most noise that there is in them: a word without silence around it has no floor to be measured, dBFS."""
BREAKS = {".": 0.0, "?": 0.0, "!": 0.0, ":": 0.01, ";": 0.01, ",": 0.01, "other": 0.05}
"""How little a pause is expected after a word that ends so, as a share of a prompt's length."""
CHARACTERS_A_SECOND = (8.0, 26.0)
"""A prompt that was spoken slower or faster than this does not say its text."""


@dataclass(frozen=True)
class Phrase:
    """Words that were spoken without a pause; `samples` from the first audible one to the last."""

    text: str
    samples: Samples

    @property
    def seconds(self) -> float:
        """Its length, s."""
        return len(self.samples) / INPUT_RATE


@dataclass(frozen=True)
class Prompt:
    """A text and its sound."""

    name: str
    text: str
    samples: Samples

    @property
    def phrases(self) -> list[Phrase]:
        """Its phrases, each with its words."""
        spans = voiced_spans(self.samples)
        texts = divide(self.text, [stop - start for start, stop in spans])
        return [
            Phrase(text, self.samples[start:stop])
            for text, (start, stop) in zip(texts, spans, strict=True)
            if text
        ]


@cache
def prompts(language: str) -> Mapping[str, Prompt]:
    """Return a language's prompts by name, where sound and text fit each other; MissingError without the sounds."""
    if packages := lacking_prompts(language):
        raise MissingError(
            f"human speech ({language}) or its decoder is not installed",
            f"apt-get install --no-install-recommends {' '.join(packages)}",
        )
    folder, book = _places(language)
    texts = {name: text for name, text in _lines(book) if (folder / f"{name}.g722").is_file()}
    sounds = _decoded([folder / f"{name}.g722" for name in texts])
    made = (Prompt(name, text, sound) for (name, text), sound in zip(texts.items(), sounds, strict=True))
    return {prompt.name: prompt for prompt in made if _fits(prompt)}


def lacking_prompts(language: str) -> list[str]:
    """Return Debian's packages that a language's prompts lack on this machine."""
    folder, book = _places(language)
    there = {
        f"asterisk-core-sounds-{language}": book.is_file(),
        f"asterisk-core-sounds-{language}-g722": folder.is_dir(),
        "ffmpeg": shutil.which("ffmpeg") is not None,
    }
    return [package for package, is_there in there.items() if not is_there]


def _places(language: str) -> tuple[Path, Path]:
    """Return the folder of the sounds, and the file of their texts."""
    name = f"asterisk-core-sounds-{language}"
    return SOUNDS / LANGUAGES[language], TEXTS / name / f"core-sounds-{language}.txt.gz"


def _lines(book: Path) -> list[tuple[str, str]]:
    """Return names and texts of a list of prompts: what is in parentheses is a remark."""
    lines = gzip.decompress(book.read_bytes()).decode("utf-8", "replace").splitlines()
    pairs = (line.partition(":") for line in lines if not line.lstrip().startswith(";"))
    return [
        (name.strip(), re.sub(r"\s+", " ", re.sub(r"[(\[<].*?[)\]>]", "", text)).strip())
        for name, _, text in pairs
    ]


def _decoded(files: list[Path]) -> list[Samples]:
    """Decode them all in one run of ffmpeg: a run for each takes half a minute."""
    encoded = [file.read_bytes() for file in files]
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", "-", "-f", "s16le", "-ar", str(INPUT_RATE), "-"]
    done = subprocess.run(command, input=b"".join(encoded), capture_output=True, check=False)
    if done.returncode:
        raise MissingError(
            f"ffmpeg cannot decode G.722: {done.stderr.decode()[:200]}", "install Debian's ffmpeg"
        )
    samples = np.frombuffer(done.stdout, np.int16)
    ends = np.cumsum([0, *(len(part) * SAMPLES_A_BYTE for part in encoded)]).tolist()
    return [samples[start:stop] for start, stop in pairwise(ends)]


def _fits(prompt: Prompt) -> bool:
    spans = voiced_spans(prompt.samples)
    if not prompt.text or not spans:
        return False
    if len(prompt.text) < 12:  # digits and letters are spelled otherwise than they are spoken
        return True
    slowest, fastest = CHARACTERS_A_SECOND
    seconds = sum(stop - start for start, stop in spans) / INPUT_RATE
    return slowest <= _characters(prompt.text) / seconds <= fastest


def _characters(text: str) -> int:
    """Return how long a text is when it is spoken: a digit is a word, a capital in an abbreviation nearly one."""
    capitals = sum(map(str.isupper, text)) if text.isupper() else 0
    return len(text) + 4 * sum(map(str.isdigit, text)) + 2 * capitals


def voiced_spans(samples: Samples, pause_s: float = PAUSE_S) -> list[tuple[int, int]]:
    """Return where there is speech: spans between silences of at least `pause_s`; a click is none."""
    noise_db = min(NOISIEST_DB, noise_floor_db(block_levels(samples, INPUT_RATE)))
    blocks = audible_blocks(samples, INPUT_RATE, noise_db)
    if not len(blocks):
        return []
    breaks = np.flatnonzero(np.diff(blocks) * BLOCK > pause_s * INPUT_RATE)
    firsts, lasts = blocks[[0, *(breaks + 1)]], blocks[[*breaks, len(blocks) - 1]]
    spans = [(int(a) * BLOCK, (int(b) + 1) * BLOCK) for a, b in zip(firsts, lasts, strict=True)]
    return [(start, stop) for start, stop in spans if stop - start >= SHORTEST_S * INPUT_RATE]


def divide(text: str, lengths: list[int]) -> list[str]:
    """Divide a text over spans of speech: by their lengths, and where there is punctuation, rather there."""
    words = text.split()
    if len(lengths) <= 1 or len(words) < len(lengths):
        return [text] + [""] * (len(lengths) - 1)
    said = np.cumsum([0, *(_characters(word) + 1 for word in words)]) / (
        sum(map(_characters, words)) + len(words)
    )
    shares = np.array(lengths) / sum(lengths)
    # what it costs that a phrase ends after so many words: little after punctuation
    breaks = np.array([0.0, *(BREAKS.get(word[-1], BREAKS["other"]) for word in words)])
    cost, back = np.full(len(said), np.inf), []
    cost[0] = 0.0
    for share in shares:
        misfit = np.abs(said[None, :] - said[:, None] - share)  # from word, to word
        total = np.where(said[None, :] > said[:, None], cost[:, None] + misfit, np.inf)
        back.append(np.argmin(total, axis=0))
        cost = np.min(total, axis=0) + breaks
    bounds = [len(words)]
    for before in reversed(back):
        bounds.insert(0, int(before[bounds[0]]))
    return [" ".join(words[start:stop]) for start, stop in pairwise(bounds)]
