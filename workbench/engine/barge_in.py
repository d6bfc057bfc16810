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

QUIET_REPLY_MS = 5_000.0
"""Speech of the agent that leaves nothing in the microphone: echo is under control again."""
SURE = 0.85
"""Mean probability from which the VAD is sure of speech: with Silero a voice has 0.9 or more, babble 0.65 to 0.8."""
STALLED_S = 0.1
"""Without a frame for so long, nothing more will be known."""

EchoOf = Callable[[int, int], float]
"""Correlation (0…1) of the samples `start` to `stop` of `user` with what we played."""
Objection = Literal["echo", "backchannel"]
"""Why an utterance that was spoken into a reply may not become a turn."""


class Verdict(Enum):
    """What becomes of a reply that paused because the user spoke."""

    KEEP_PAUSED = "keep paused"
    """There is no telling yet."""
    WAIT = "wait"
    """The user surely speaks, and the words are late: the reply stays paused beyond the usual time."""
    RESUME = "resume"
    """A backchannel, a cough, a noise: the reply goes on. Words that come late may still cut it."""
    ECHO = "echo"
    """The agent's own sound: the reply goes on, and the utterance never becomes a turn."""
    CUT = "cut"
    """An interruption: the reply is over."""


Outcome = Literal["interruption", "false", "waiting"]
OUTCOMES: dict[Verdict, Outcome] = {Verdict.CUT: "interruption", Verdict.WAIT: "waiting"}
"""What the trace calls them; the others are false."""


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
    """How much of the sound is what we play, 0…1."""
    certainty: float = 0.0
    """The VAD's mean probability of the speech."""
    own_words: bool = False
    """The words are the agent's: it is just saying them."""
    language: str = "en"
    question: str = ""
    """What the agent has just asked: then "yes" is an answer and no backchannel."""


def judge(evidence: Evidence, settings: BargeInSettings) -> Judgement:
    """Decide whether the speech that paused a reply is an interruption: `verdict_ms` after its onset at the latest, but
    for speech that is surely some and has no words yet, `longest_pause_ms`."""
    takes = takes_floor(evidence.transcript, settings, evidence.language, evidence.question)
    if takes and not (evidence.own_words and evidence.echo >= settings.echo_share):
        return Judgement(Verdict.CUT, "words")
    if evidence.echo >= settings.echo_share:
        return Judgement(Verdict.ECHO, f"echo of ourselves ({evidence.echo:.2f} of the sound)")
    if not evidence.partials and evidence.voiced_ms >= settings.min_speech_ms:
        return Judgement(Verdict.CUT, f"speech of {evidence.voiced_ms:.0f} ms")
    if evidence.silent and evidence.covered:
        spoken = evidence.transcript and simplify(evidence.transcript.text)
        return Judgement(Verdict.RESUME, "backchannel" if spoken else "no words")
    if evidence.silent and not evidence.partials and evidence.voiced_ms < settings.min_speech_ms:
        return Judgement(Verdict.RESUME, f"too short ({evidence.voiced_ms:.0f} ms)")
    after_ms = evidence.since_onset_ms + evidence.next_ms
    if after_ms > settings.longest_pause_ms:
        return overdue(settings.longest_pause_ms)
    if after_ms > settings.verdict_ms:
        if evidence.certainty < SURE or evidence.voiced_ms < settings.min_speech_ms:
            return overdue(settings.verdict_ms)
        return Judgement(Verdict.WAIT, "speech goes on, no words yet")
    return Judgement(Verdict.KEEP_PAUSED)


def overdue(limit_ms: float) -> Judgement:
    """Return the judgement where no sign came in time: the reply goes on."""
    return Judgement(Verdict.RESUME, f"no words within {limit_ms:.0f} ms")


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


def own_words(transcript: Transcript | None, said: str) -> bool:
    """Return whether most of the words are among those of a text: ours, come back by the microphone."""
    words, text = simplify(transcript.text if transcript else "").split(), simplify(said)
    ours = set(text.split())
    new = [word for word in words if word not in ours and (word.isascii() or word not in text)]
    return 2 * len(new) <= len(words)


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
    voiced_ms: float = 0.0
    waiting: bool = False
    """The speech goes on without words."""


@dataclass(slots=True)
class HalfDuplex:
    """That the agent does not listen while it speaks, of the session's own accord."""

    needed_ms: float
    """So much of the agent's speech must leave nothing in the microphone; twice as much each time."""
    quiet_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class FalsePause:
    """An utterance that paused the reply and was judged to be no interruption."""

    echo: bool
    counted_at: int
    """Position on `user` at which it was counted, if there was something to pause."""
    reply_text: str
    """What the agent was saying."""


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
        self._fed_at = 0.0
        self._fallback: HalfDuplex | None = None

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

    def resumed(self, utterance: Utterance) -> None:
        """Speech goes on after a pause, in which the reply may have gone on: it pauses again."""
        false = self._false.get(utterance.id)
        if self._suspicion is None and false is not None and not false.echo:
            self.onset(utterance)

    def reply_begins(self) -> None:
        """A reply takes the floor: where the user speaks just then, it begins paused."""
        speaking = self._listening.utterance
        if speaking is not None and self._suspicion is None and speaking.id not in self._false:
            self._suspect(speaking, self._listening.position)

    def judge(self) -> None:
        """Decide on the speech that paused the reply, once there is enough evidence; called at every frame."""
        now = self._listening.position
        next_ms, self._judged_at = (now - self._judged_at) / PER_MS, now
        self._fed_at = self._loop.time()
        self._return_to_full(next_ms)
        if self._suspicion is not None:
            self._weigh(self._suspicion, next_ms)
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
                self._emit(utterance, late, self._listening.position - utterance.onset, utterance.voiced_ms)
                self._floor.cut(keep=utterance.id)

    def objection(self, utterance: Utterance) -> Objection | None:
        """Return why this utterance may not become a turn, None if it may: what was spoken into a reply must have words
        that are neither a backchannel nor our own echo."""
        suspected = self._suspicion is not None and self._suspicion.utterance is utterance
        false = self._false.get(utterance.id)
        if not suspected and false is None:
            return None
        if false is not None and false.echo and own_words(utterance.transcript, false.reply_text):
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
        """Stop listening while the agent speaks, until so much of its speech has left nothing in the microphone."""
        if self._settings.mode != "half":
            self._settings.mode = "half"
            self._trace.emit(DuplexChanged("half", reason))
            self._fallback = HalfDuplex(self._fallback.needed_ms * 2 if self._fallback else QUIET_REPLY_MS)

    def choose_duplex(self) -> None:
        """The user sets the mode: that stays as it is."""
        self._fallback = None

    def _return_to_full(self, frame_ms: float) -> None:
        """Listen again while the agent speaks, once nothing of it came back for long enough."""
        fallback = self._fallback
        if fallback is None or self._settings.mode != "half" or not self._playout.sounding(0):
            return
        quiet = self._listening.silent_ms > frame_ms
        fallback.quiet_ms = fallback.quiet_ms + frame_ms if quiet else 0.0
        if fallback.quiet_ms >= fallback.needed_ms:
            self._settings.mode = "full"
            reason = f"nothing came back in {fallback.needed_ms / 1000:.0f} s of the agent's speech"
            self._trace.emit(DuplexChanged("full", reason))

    # --- suspicion and verdict ---------------------------------------------------------------------------------------

    def _suspect(self, utterance: Utterance, since: int) -> None:
        if self._suspicion is not None:
            self._conclude(self._suspicion, overdue(self._settings.verdict_ms))
        left_ms = self._settings.verdict_ms - (self._listening.position - since) / PER_MS
        self._suspicion = Suspicion(utterance, since, self._call_later(left_ms / 1000))
        self._floor.pause()

    def _call_later(self, seconds: float) -> asyncio.TimerHandle:
        return self._loop.call_later(max(0.0, seconds), self._give_up)

    def _give_up(self) -> None:
        """The verdict is due, also when no frames come any more: then the reply must go on."""
        suspicion = self._suspicion
        if suspicion is None:
            return
        if self._loop.time() - self._fed_at < STALLED_S:
            self._weigh(suspicion, STALLED_S * 1000)
        else:
            self._conclude(suspicion, overdue(self._settings.verdict_ms))
        if suspicion is self._suspicion:
            suspicion.timer = self._call_later(STALLED_S)

    def _weigh(self, suspicion: Suspicion, next_ms: float) -> None:
        judgement = judge(self._evidence(suspicion, next_ms), self._settings)
        if judgement.verdict is Verdict.WAIT:
            if not suspicion.waiting:
                suspicion.waiting = True
                self._emit_verdict(suspicion, judgement)
        elif judgement.verdict is not Verdict.KEEP_PAUSED:
            self._conclude(suspicion, judgement)

    def _conclude(self, suspicion: Suspicion, judgement: Judgement) -> None:
        self.drop()
        self._emit_verdict(suspicion, judgement)
        if judgement.verdict is Verdict.ECHO:
            self._listening.forget_voice(suspicion.since)
        if judgement.verdict is Verdict.CUT:
            self._floor.cut(keep=suspicion.utterance.id)
        else:
            self._false_pause(suspicion.utterance, judgement.verdict)

    def _false_pause(self, utterance: Utterance, verdict: Verdict) -> None:
        """Let the reply go on; several false pauses in a row mean half duplex."""
        now, reply = self._listening.position, self._floor.holder
        again = utterance.id in self._false
        if utterance.state != "dismissed":
            text = reply.text if reply else ""
            self._false[utterance.id] = FalsePause(verdict is Verdict.ECHO, now, text)
        self._floor.resume()
        if reply is None or again:
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
        if utterance is self._listening.utterance:
            suspicion.voiced_ms = self._listening.voiced_ms()
        stt, reply = self._stages.stt, self._floor.holder
        return Evidence(
            since_onset_ms=since_ms,
            next_ms=next_ms,
            voiced_ms=suspicion.voiced_ms,
            silent=utterance.state != "speaking",
            transcript=utterance.transcript,
            covered=utterance.covered or utterance.state == "dismissed",
            partials=stt is not None and stt.provider.partials,
            echo=suspicion.echo,
            certainty=self._listening.certainty(),
            own_words=reply is None or own_words(utterance.transcript, reply.text),
            language=utterance.language,
            question=utterance.question,
        )

    def _emit_verdict(self, suspicion: Suspicion, judgement: Judgement) -> None:
        after, echo = (
            self._listening.position - suspicion.since,
            suspicion.echo if suspicion.echo_at else None,
        )
        self._emit(suspicion.utterance, judgement, after, suspicion.voiced_ms, echo)

    def _emit(
        self,
        utterance: Utterance,
        judgement: Judgement,
        after: int,
        voiced_ms: float,
        echo: float | None = None,
    ) -> None:
        reply = self._floor.holder.id if self._floor.holder else 0
        self._trace.emit(
            BargeInJudged(
                reply,
                utterance.id,
                OUTCOMES.get(judgement.verdict, "false"),
                judgement.reason,
                round(after / PER_MS, 1),
                round(voiced_ms, 1),
                round(self._listening.certainty(), 3),
                None if echo is None else round(echo, 3),
            )
        )
