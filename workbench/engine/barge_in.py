"""Barge-in: the user speaks during a reply. The reply pauses at once; what it was is decided at the frames that follow.

`judge` decides, from the evidence alone; `BargeIn` gathers the evidence, and acts on the verdict by the floor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from workbench.engine.floor import Floor
from workbench.engine.listening import PER_MS, Listening
from workbench.engine.playout import Playout
from workbench.engine.settings import BargeInSettings
from workbench.engine.stages import Stages
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Transcript
from workbench.model.events import BargeInJudged, DuplexChanged
from workbench.text.turn_words import backchannels, content_words, entries, simplify
from workbench.trace.trace import Trace

TAIL_MS = 250
"""After a reply its echo may still be in the room for this long."""
ECHO_EVERY_MS = 100
"""The correlation with what we play costs about 1 ms, so it is not computed for each frame."""
ECHO_FROM_MS = 200
"""Less sound than this may correlate with anything, …"""
ECHO_AT_LEAST_MS = 120
"""… but so much must do when the first words come: whose are they?"""

EchoOf = Callable[[int, int], float]
"""Correlation (0…1) of the samples `start` to `stop` of `user` with what we played."""
Objection = Literal["echo", "backchannel"]
"""Why an utterance that was spoken into a reply may not become a turn."""


class Verdict(Enum):
    """What becomes of a reply that paused because the user spoke."""

    KEEP_PAUSED = "keep paused"
    """There is no telling yet."""
    RESUME = "resume"
    """A backchannel, a cough, a noise: the reply goes on. Words that come late may still cut it."""
    ECHO = "echo"
    """The agent's own sound: the reply goes on, and the utterance never becomes a turn."""
    CUT = "cut"
    """An interruption: the reply is over."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, in words for the trace, the sign that decided."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the speech that paused a reply."""

    since_onset_ms: float
    next_ms: float
    """Until the next judgement."""
    voiced_ms: float
    """Of it above the VAD's threshold."""
    silent: bool
    """The user has fallen silent again."""
    transcript: Transcript | None
    """The STT's text so far; None before its first."""
    covered: bool
    """The transcript takes all of the speech into account."""
    partials: bool
    """The STT writes transcripts while the user speaks, so that no words means no words."""
    echo: float
    """Correlation with what we play, 0…1."""
    language: str = "en"
    question: str = ""
    """What the agent has just asked: then "yes" is an answer and no backchannel."""


def judge(evidence: Evidence, settings: BargeInSettings) -> Judgement:
    """Decide whether the speech that paused a reply is an interruption; at the latest `verdict_ms` after its onset."""
    if evidence.echo >= settings.echo_correlation:
        return Judgement(Verdict.ECHO, f"echo of ourselves (correlation {evidence.echo:.2f})")
    if takes_floor(evidence.transcript, settings, evidence.language, evidence.question):
        return Judgement(Verdict.CUT, "words")
    if not evidence.partials and evidence.voiced_ms >= settings.min_speech_ms:
        return Judgement(Verdict.CUT, f"speech of {evidence.voiced_ms:.0f} ms")
    if evidence.silent and evidence.covered:
        spoken = evidence.transcript and simplify(evidence.transcript.text)
        return Judgement(Verdict.RESUME, "backchannel" if spoken else "no words")
    if evidence.silent and not evidence.partials and evidence.voiced_ms < settings.min_speech_ms:
        return Judgement(Verdict.RESUME, f"too short ({evidence.voiced_ms:.0f} ms)")
    if evidence.since_onset_ms + evidence.next_ms > settings.verdict_ms:
        return overdue(settings)
    return Judgement(Verdict.KEEP_PAUSED)


def overdue(settings: BargeInSettings) -> Judgement:
    """Return the judgement where no sign came in time: the reply goes on."""
    return Judgement(Verdict.RESUME, f"no words within {settings.verdict_ms:.0f} ms")


def takes_floor(
    transcript: Transcript | None, settings: BargeInSettings, language: str = "en", question: str = ""
) -> bool:
    """Return whether the words are enough, and sure enough, to interrupt or to answer: backchannels do not count, but
    after a question each word does that is more than a hesitation."""
    if transcript is None:
        return False
    if transcript.confidence is not None and not transcript.confidence >= settings.min_confidence:  # NaN too
        return False
    if question:
        return content_words(transcript.text, entries(language, "fillers")) > 0
    ignored = settings.backchannels or backchannels(language)
    return content_words(transcript.text, ignored) >= settings.min_words


@dataclass(slots=True)
class Suspicion:
    """An utterance that paused the reply and is not judged yet."""

    utterance: Utterance
    since: int
    """Position on `user` from which on it is judged."""
    timer: asyncio.TimerHandle
    """The verdict is due even if no frame comes any more."""
    echo: float = 0.0
    echo_at: int = 0


@dataclass(frozen=True, slots=True)
class FalsePause:
    """An utterance that paused the reply and was judged to be no interruption."""

    echo: bool
    counted_at: int
    """Position on `user` at which it was counted, if there was something to pause."""


class BargeIn:
    """Suspects what the user says during a reply, has it judged, and pauses, resumes or cuts the reply."""

    def __init__(
        self,
        floor: Floor,
        playout: Playout,
        listening: Listening,
        stages: Stages,
        settings: BargeInSettings,
        trace: Trace,
        echo_of: EchoOf | None,
    ) -> None:
        self._floor = floor
        self._playout = playout
        self._listening = listening
        self._stages = stages
        self._settings = settings
        self._trace = trace
        self._echo_of = echo_of
        self._loop = asyncio.get_running_loop()
        self._suspicion: Suspicion | None = None
        self._false: dict[int, FalsePause] = {}
        self._false_at: deque[int] = deque(maxlen=100)
        self._judged_at = 0

    # --- what the pipeline and the turns report ----------------------------------------------------------------------

    @property
    def deaf(self) -> bool:
        """Whether nothing counts as an onset now: half duplex, and the agent is speaking."""
        return self._settings.mode == "half" and (
            self._floor.holder is not None or self._playout.sounding(TAIL_MS)
        )

    def onset(self, utterance: Utterance) -> None:
        """Speech begins: pause the reply if there is one, or soon will be. A reply to the same utterance is none: it is
        taken back."""
        if self._floor.busy_beside(utterance.id):
            self._suspect(utterance, utterance.resumed_at)

    def reply_begins(self) -> None:
        """A reply takes the floor: where the user speaks just then, it begins paused."""
        speaking = self._listening.utterance
        if speaking is not None and self._suspicion is None and speaking.id not in self._false:
            self._suspect(speaking, self._listening.position)

    def judge(self) -> None:
        """Decide on the speech that paused the reply, once there is enough evidence; called at every frame."""
        now = self._listening.position
        next_ms, self._judged_at = (now - self._judged_at) / PER_MS, now
        if self._suspicion is not None:
            judgement = judge(self._evidence(self._suspicion, next_ms), self._settings)
            if judgement.verdict is not Verdict.KEEP_PAUSED:
                self._conclude(self._suspicion, judgement)
            return
        utterance = self._listening.utterance  # after a false pause the words may still come
        if utterance is not None and utterance.id in self._false and self.objection(utterance) is None:
            self.confirm(utterance)

    def confirm(self, utterance: Utterance) -> None:
        """Take back whatever was thought of an utterance: it has words, and they count."""
        if self._suspicion is not None and self._suspicion.utterance is utterance:
            self._conclude(self._suspicion, Judgement(Verdict.CUT, "words"))
        elif (false := self._false.pop(utterance.id, None)) is not None:
            with suppress(ValueError):
                self._false_at.remove(false.counted_at)
            if self._floor.answers_before(utterance.id):
                late = Judgement(Verdict.CUT, "words, late")
                self._emit(utterance, late, self._listening.position - utterance.onset)
                self._floor.cut(keep=utterance.id)

    def objection(self, utterance: Utterance) -> Objection | None:
        """Return why this utterance may not become a turn, None if it may: what was spoken into a reply must have words
        that are neither a backchannel nor our own echo."""
        suspected = self._suspicion is not None and self._suspicion.utterance is utterance
        false = self._false.get(utterance.id)
        if not suspected and false is None:
            return None
        if false is not None and false.echo:
            return "echo"
        takes = takes_floor(utterance.transcript, self._settings, utterance.language, utterance.question)
        return None if takes else "backchannel"

    def forget(self, utterance: Utterance) -> None:
        """Drop what is known of an utterance whose turn is over."""
        self._false.pop(utterance.id, None)

    def drop(self) -> None:
        """Drop the suspicion: nobody needs a verdict any more."""
        if self._suspicion is not None:
            self._suspicion.timer.cancel()
            self._suspicion = None

    def half_duplex(self, reason: str) -> None:
        """Stop listening while the agent speaks, from now on."""
        if self._settings.mode != "half":
            self._settings.mode = "half"
            self._trace.emit(DuplexChanged("half", reason))

    # --- suspicion and verdict ---------------------------------------------------------------------------------------

    def _suspect(self, utterance: Utterance, since: int) -> None:
        self._overdue()
        left_ms = self._settings.verdict_ms - (self._listening.position - since) / PER_MS
        timer = self._loop.call_later(max(0.0, left_ms / 1000), self._overdue)
        self._suspicion = Suspicion(utterance, since, timer)
        self._floor.pause()

    def _overdue(self) -> None:
        """The reply must go on, also when no frames come any more."""
        if self._suspicion is not None:
            self._conclude(self._suspicion, overdue(self._settings))

    def _conclude(self, suspicion: Suspicion, judgement: Judgement) -> None:
        self.drop()
        self._emit(suspicion.utterance, judgement, self._listening.position - suspicion.since)
        if judgement.verdict is Verdict.CUT:
            self._floor.cut(keep=suspicion.utterance.id)
        else:
            self._false_pause(suspicion.utterance, judgement.verdict)

    def _false_pause(self, utterance: Utterance, verdict: Verdict) -> None:
        """Let the reply go on; several false pauses in a row mean half duplex."""
        now = self._listening.position
        if utterance.state != "dismissed":
            self._false[utterance.id] = FalsePause(verdict is Verdict.ECHO, now)
        self._floor.resume()
        if self._floor.holder is None:
            return
        self._listening.raise_threshold()
        self._false_at.append(now)
        recent = [at for at in self._false_at if (now - at) / PER_MS < self._settings.false_window_ms]
        if len(recent) >= self._settings.false_limit:
            self.half_duplex(
                f"{len(recent)} false pauses within {self._settings.false_window_ms / 1000:.0f} s"
            )

    def _evidence(self, suspicion: Suspicion, next_ms: float) -> Evidence:
        utterance, now = suspicion.utterance, self._listening.position
        since_ms = (now - suspicion.since) / PER_MS
        due = since_ms >= ECHO_FROM_MS and (now - suspicion.echo_at) / PER_MS >= ECHO_EVERY_MS
        first_words = (
            suspicion.echo_at == 0 and utterance.transcript is not None and since_ms >= ECHO_AT_LEAST_MS
        )
        if self._echo_of and (due or first_words):
            suspicion.echo, suspicion.echo_at = self._echo_of(suspicion.since, now), now
        stt = self._stages.stt
        return Evidence(
            since_onset_ms=since_ms,
            next_ms=next_ms,
            voiced_ms=self._listening.voiced_ms() if utterance is self._listening.utterance else 0.0,
            silent=utterance.state != "speaking",
            transcript=utterance.transcript,
            covered=utterance.covered or utterance.state == "dismissed",
            partials=stt is not None and stt.provider.partials,
            echo=suspicion.echo,
            language=utterance.language,
            question=utterance.question,
        )

    def _emit(self, utterance: Utterance, judgement: Judgement, after: int) -> None:
        reply = self._floor.holder.id if self._floor.holder else 0
        verdict: Literal["interruption", "false"] = (
            "interruption" if judgement.verdict is Verdict.CUT else "false"
        )
        after_ms = round(after / PER_MS, 1)
        self._trace.emit(BargeInJudged(reply, utterance.id, verdict, judgement.reason, after_ms))
