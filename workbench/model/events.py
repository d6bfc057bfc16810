"""The events of a trace: a closed, named union, with a sentence under each.

An event is a value without identity; the trace gives it its index and its time (`Entry`). Names of fields say their
unit; an audio position is `…_sample`, on the track that the sentence names. `utterance` counts what may become a turn,
`turn` is known once the turn has been decided, `reply` counts attempts to answer (speculative ones too).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

TrackName = Literal["mic", "user", "agent"]
Stage = Literal["source", "vad", "turn", "stt", "llm", "tools", "tts", "sink", "host"]
Part = Literal[
    "endpointing",
    "cpu_wait",
    "stt",
    "llm_first_token",
    "first_chunk",
    "tools",
    "tts_first_byte",
    "leading_silence",
    "floor",
    "network_out",
    "playback_buffer",
    "output_buffer",
    "network_in",
    "jitter_buffer",
]
PARTS: tuple[Part, ...] = get_args(Part)
TurnStatus = Literal["done", "cut", "failed"]
EndCause = Literal["silence", "too long", "click"]
WordsSay = Literal["unfinished", "doubtful", "unknown", "likely", "complete"]
ToolStatus = Literal["done", "failed", "cancelled", "discarded"]


# --- the session --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The session began. `date` is the wall clock, ISO 8601 UTC, read this once; `rates` in Hz for each track."""

    session: str
    date: str
    profile: str
    agent: str
    providers: dict[str, str]
    rates: dict[str, int]
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session ended; `reason` is one of `source ended`, `stopped`, `signal …`, `failed: …`."""

    reason: str

    @property
    def failed(self) -> bool:
        """Whether an error ended it; recordings have no other sign of that than the text."""
        return self.reason.startswith("failed")


@dataclass(frozen=True, slots=True)
class ListeningStarted:
    """Everything is warm, the source is read from now on."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The conversation of another recording goes on: the last of its messages, each with `role`, `text` and `cut`."""

    recording: str
    messages: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SettingChanged:
    """A setting was changed while running; `name` is dotted (`turn.silence_ms`), secrets are never shown."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Swapped:
    """A provider (`what` = its stage) or the agent (`what` = `agent`) was replaced by `name`."""

    what: str
    name: str


@dataclass(frozen=True, slots=True)
class Bookmarked:
    """The user marked this moment."""

    label: str


@dataclass(frozen=True, slots=True)
class Muted:
    """The microphone was muted or unmuted by the user."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to the user; `hint` says what to do. `level` is info, warning or error."""

    level: Literal["info", "warning", "error"]
    owner: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ReaderFailed:
    """A reader raised and was dropped; the session goes on without it."""

    reader: str
    reason: str


@dataclass(frozen=True, slots=True)
class EventsMissed:
    """Given to a follower that lagged behind what is kept: events `first` to `last` are gone."""

    first: int
    last: int


# --- devices and time ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceOpened:
    """A device or file is in use; `latency_ms` is what it reports of its own buffer, None if it does not."""

    track: TrackName
    name: str
    rate: int
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceLost:
    """A device went away while in use."""

    track: TrackName
    name: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ClockMapped:
    """Sample `sample` of `track` was at (microphone) or leaves (speaker) the device at `at_ms` of the session's clock,
    and the track runs at `rate` Hz measured by it. `estimated` where the device gave no time of its own."""

    track: TrackName
    sample: int
    at_ms: float
    rate: float
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Glitch:
    """Sound was lost (`lost_samples` > 0) or doubled (< 0) at `at_sample` of `track`, found from samples and clock."""

    track: TrackName
    at_sample: int
    lost_samples: int


@dataclass(frozen=True, slots=True)
class Levels:
    """Level of a track over the last 100 ms up to `upto_sample`: RMS and peak in dBFS."""

    track: TrackName
    upto_sample: int
    rms_db: float
    peak_db: float


@dataclass(frozen=True, slots=True)
class VadBatch:
    """Speech probabilities of consecutive windows of `window` samples, the first at `start_sample` of `user`."""

    start_sample: int
    window: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EchoState:
    """How much of our own sound is removed from the microphone (`erle_db`) and how late it comes back (`delay_ms`)."""

    erle_db: float | None
    delay_ms: float | None
    active: bool


@dataclass(frozen=True, slots=True)
class DuplexChanged:
    """`full`: the user may barge in. `half`: not listening while the agent speaks; `reason` says why."""

    mode: Literal["full", "half"]
    reason: str


@dataclass(frozen=True, slots=True)
class HostLag:
    """By how much the loop woke too late, ms over the last second."""

    p50_ms: float
    max_ms: float


# --- rooms --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoomConnection:
    """The connection to a LiveKit room: `connecting`, `connected`, `reconnecting` (what is to be said waits), `lost`
    for good, or `left`. `attempt` counts tries from 1 where there is more than one."""

    room: str
    state: Literal["connecting", "connected", "reconnecting", "lost", "left"]
    reason: str = ""
    hint: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    """Somebody in the room: `joined`, `heard` (is listened to from now on), `muted`, `unmuted`, `away` (left, and may
    come back), `left`. `kind` is standard, sip, agent or what else LiveKit knows."""

    identity: str
    kind: str
    state: Literal["joined", "heard", "muted", "unmuted", "away", "left"]


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """Something that a participant sent: `chat`, `data`, `rpc` (`topic` is the method), `dtmf`, `text` or `bytes` (a
    stream). `text` is its beginning, made safe; `size` in bytes."""

    kind: Literal["chat", "data", "rpc", "dtmf", "text", "bytes"]
    sender: str
    topic: str
    text: str
    size: int


@dataclass(frozen=True, slots=True)
class PictureTaken:
    """A frame of somebody's video was taken for the model, `age_ms` after it came in: for answer `reply`, or (None) for
    a tool. `file` is its JPEG of `size` bytes in the session's folder."""

    reply: int | None
    file: str
    identity: str
    source: Literal["screen", "camera"]
    width: int
    height: int
    size: int
    age_ms: float


@dataclass(frozen=True, slots=True)
class NetworkMeasured:
    """What WebRTC says of the last second. `rtt_ms` to the server; `jitter_ms`, `loss` (0…1), `buffer_ms` (time in the
    jitter buffer) and `concealed` (share of samples that were made up) of what comes in; `out_…` of what goes out."""

    rtt_ms: float
    jitter_ms: float
    loss: float
    buffer_ms: float
    concealed: float
    out_jitter_ms: float
    out_loss: float


# --- providers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProviderWarmed:
    """A provider answered its warm-up after `took_ms`, or failed it (`error`)."""

    stage: Stage
    provider: str
    took_ms: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """A server of the user's own has not answered for `waited_ms`: it loads its model, in its own words for `reason`.
    It comes each second, until the server answers or `limits.load_ms` is over."""

    stage: Stage
    provider: str
    waited_ms: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProviderRetried:
    """A request failed and is made again after `wait_ms`; `attempt` counts from 1."""

    stage: Stage
    provider: str
    attempt: int
    wait_ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A circuit breaker: `open` (not called for `wait_ms`), `half_open` (one probe), `closed` (well again)."""

    stage: Stage
    provider: str
    state: Literal["open", "half_open", "closed"]
    wait_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class FallbackStarted:
    """`fallback` is asked in the place of `provider`, which failed, was slow, or must not be asked now (`reason`)."""

    stage: Stage
    provider: str
    fallback: str
    reason: str


@dataclass(frozen=True, slots=True)
class VoiceChanged:
    """Nobody is left in a stage, and the conversation goes on by text: its voice is `lost` (`stt`: what is said is not
    understood, typing is; `tts`: answers can be read), or `back`."""

    stage: Stage
    state: Literal["lost", "back"]
    reason: str = ""
    hint: str = ""


# --- the user's side ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at `at_sample` of `user`, by the VAD, whose `probability` (0…1) there reached the `threshold` that
    held then; an utterance is open from here."""

    utterance: int
    at_sample: int
    probability: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class SpeechIgnored:
    """Speech began at `at_sample` of `user`, by the signs of `speech_started`, and was not listened to: the agent
    speaks, in half duplex."""

    at_sample: int
    probability: float
    threshold: float


@dataclass(frozen=True, slots=True)
class EndOfTurnEstimated:
    """A turn detector's model gave the `probability` (0…1) that the turn is over, by all up to `upto_sample` of `user`,
    where speech had paused; it took `took_ms`."""

    utterance: int
    upto_sample: int
    probability: float
    took_ms: float


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The user fell silent; speech ended at `end_sample` of `user` as the tracks show it."""

    utterance: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The user went on within the same utterance after `pause_ms`."""

    utterance: int
    at_sample: int
    pause_ms: float


@dataclass(frozen=True, slots=True)
class EndOfTurnJudged:
    """Endpointing ended the utterance: after `silence_ms`, of which the turn detector asked for `wait_ms`, by what its
    `words` say of the end of a turn and the `probability` (0…1) of a model, None where none had judged this pause.
    `cause`: `silence`; `too long` a silence for any turn; `click`, which what was said before does not wait for."""

    utterance: int
    cause: EndCause
    silence_ms: float
    wait_ms: float | None
    words: WordsSay
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The STT's text of an utterance so far (`final` false) or for good. `upto_sample` on `user`."""

    utterance: int
    text: str
    final: bool
    upto_sample: int
    stable: bool = False
    confidence: float | None = None
    provider: str = ""


@dataclass(frozen=True, slots=True)
class LanguageChanged:
    """The user speaks another language than `before`, in `utterance`: voice, spoken text and instructions follow."""

    language: str
    before: str
    utterance: int


@dataclass(frozen=True, slots=True)
class UtteranceDismissed:
    """An utterance did not become a turn: `no words`, `not understood`, `too short`, `backchannel`, `echo`. The VAD had
    found a voice in `voiced_ms` of it."""

    utterance: int
    reason: str
    voiced_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """The user has finished: `utterance` is turn `turn`. `end_sample` of `user` is the last of the user's speech,
    `waited_ms` the silence that endpointing asked for. Typed turns have no samples."""

    turn: int
    utterance: int
    typed: bool = False
    end_sample: int | None = None
    waited_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnReopened:
    """The user went on before anything of the reply was heard: `turn` is not over, and is decided again. Speech set in
    at `at_sample` of `user`, `gap_ms` after the speech before it; both None for typed text."""

    turn: int
    utterance: int
    at_sample: int | None = None
    gap_ms: float | None = None


# --- the agent's side ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """A reply to `said` is being generated. A `speculative` one waits for the turn to be decided. `utterance` and
    `turn` are None where the agent speaks of its own accord (greeting, `say`)."""

    reply: int
    utterance: int | None
    turn: int | None
    said: str
    speculative: bool


@dataclass(frozen=True, slots=True)
class ReplyDiscarded:
    """A reply was discarded before it played, as what it answers has changed; it cost `seconds` and `tokens`."""

    reply: int
    utterance: int | None
    reason: str
    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Span:
    """A measured stretch of work for a reply; the timeline decides what of it lies on the critical path."""

    part: Part
    start_ms: float
    end_ms: float
    reply: int | None = None
    utterance: int | None = None
    turn: int | None = None
    provider: str = ""

    def with_cpu_wait(self, ms: float) -> tuple[Span, ...]:
        """Return it, after the part `cpu_wait` of it: so long its model waited for a CPU, which is put at its start."""
        if ms < 1.0:
            return (self,)
        end_ms = min(self.end_ms, round(self.start_ms + ms, 3))
        return replace(self, part="cpu_wait", end_ms=end_ms), self


@dataclass(frozen=True, slots=True)
class ReplyText:
    """A chunk of the reply's text, as handed to the TTS (`spoken`) and as the model wrote it (`text`)."""

    reply: int
    turn: int | None
    text: str
    spoken: str


@dataclass(frozen=True, slots=True)
class ReplyProgress:
    """The model works on what is not spoken, its thinking or the arguments of a call: `chars` characters of it so far.
    `text` is what came of the thinking since the last of these events, with `[reply] show_thinking`. They come four
    times a second at most."""

    reply: int
    turn: int | None
    kind: Literal["thinking", "arguments"]
    chars: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model or (`reply` is None) the developer calls a tool. The call is pending until the tool is started: one
    that has side effects waits until the turn is decided, so that `turn` may still be unknown. `call` is unique in a
    session."""

    reply: int | None
    turn: int | None
    call: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool runs; `attempt` counts from 1. `mocked`: it does not run, a fixed answer takes its place."""

    reply: int | None
    turn: int | None
    call: str
    name: str
    attempt: int = 1
    mocked: bool = False


@dataclass(frozen=True, slots=True)
class ToolProgressed:
    """A running tool reports its progress, in words and as a `fraction` (0…1) of the whole where it is known."""

    reply: int | None
    turn: int | None
    call: str
    name: str
    text: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """The end of every call. `result` is what came of it, whole; the model was given `shown` characters of it, None
    where it was given all or nothing. `status`: `done`; `failed` for the reason in `error`; `cancelled` by the user,
    who interrupted or has not agreed, or by the session's end; `discarded` with the answer that asked for it. `took_ms`
    counts from `tool_started`."""

    reply: int | None
    turn: int | None
    call: str
    name: str
    result: str
    error: str | None = None
    status: ToolStatus = "done"
    took_ms: float = 0.0
    shown: int | None = None


@dataclass(frozen=True, slots=True)
class ToolsChanged:
    """The tools that the model may choose from are `names` from now on; `reason` says what was added or removed."""

    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ToolMocked:
    """From now on `name` is not run: it answers `answer`; None: it is run again."""

    name: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class PluginFailed:
    """A plugin's hook raised, hung or was slow (`took_ms`), and is not called any more in this session."""

    plugin: str
    hook: str
    reason: str
    took_ms: float


@dataclass(frozen=True, slots=True)
class ReplyPlaying:
    """The first frame of the reply was handed to the sink, as sample `at_sample` of `agent`."""

    reply: int
    turn: int | None
    at_sample: int


@dataclass(frozen=True, slots=True)
class ReplyPaused:
    """Speech began during the reply, so the sound faded out from `at_sample` of `agent`; the verdict is pending."""

    reply: int
    turn: int | None
    at_sample: int


@dataclass(frozen=True, slots=True)
class BargeInJudged:
    """The verdict on the speech that paused the reply: an `interruption` or `false`; `reason` says which sign decided,
    `after_ms` how long it took since onset. `waiting`: the speech goes on and its words are late, so that the reply
    stays paused; a verdict follows. What was known by then: a voice in `voiced_ms`, of which the VAD was sure by
    `certainty` (0…1), and the share `echo` (0…1) of the sound that is the agent's own; None where it was not asked."""

    reply: int
    utterance: int
    verdict: Literal["interruption", "false", "waiting"]
    reason: str
    after_ms: float
    voiced_ms: float | None = None
    certainty: float | None = None
    echo: float | None = None


@dataclass(frozen=True, slots=True)
class ReplyResumed:
    """After a false pause the reply goes on, as sample `at_sample` of `agent`."""

    reply: int
    turn: int | None
    at_sample: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply left the sink at `end_sample` of `agent`. `heard` is the text that was played, `unheard` the rest;
    `estimated` where the cut had to be guessed from syllables."""

    reply: int
    turn: int | None
    status: TurnStatus
    heard: str
    unheard: str
    end_sample: int | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """Both ends of a turn's heard latency, as the tracks show them: the last sample of the user's speech (`user`) and
    the first audible one of the reply (`agent`), both also in ms of the session's clock; None where there is none."""

    turn: int
    user_end_sample: int | None
    user_end_ms: float | None
    agent_start_sample: int | None
    agent_start_ms: float | None


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The end of every turn: `done`, `cut` by the user, or `failed` in `stage` for `reason`, with what to do. For
    `overlap_ms` user and agent were audible at the same time."""

    turn: int
    status: TurnStatus
    user_text: str
    agent_text: str
    cold: bool = False
    usage: dict[str, float | None] = field(default_factory=dict)
    stage: str | None = None
    reason: str | None = None
    hint: str | None = None
    overlap_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What the session has used and cost so far, replies that were thrown away and what answered nothing included, as
    in a turn's `usage`: `cost` in USD, null where the price of a part is not known; `cost_at_least` as far as it is."""

    usage: dict[str, float | None] = field(default_factory=dict)


Event = (
    SessionStarted
    | SessionEnded
    | ListeningStarted
    | Resumed
    | SettingChanged
    | Swapped
    | Bookmarked
    | Muted
    | Notice
    | ReaderFailed
    | EventsMissed
    | DeviceOpened
    | DeviceLost
    | ClockMapped
    | Glitch
    | Levels
    | VadBatch
    | EchoState
    | DuplexChanged
    | HostLag
    | RoomConnection
    | ParticipantChanged
    | RoomMessage
    | PictureTaken
    | NetworkMeasured
    | ProviderWarmed
    | ModelLoading
    | ProviderRetried
    | BreakerChanged
    | FallbackStarted
    | VoiceChanged
    | SpeechStarted
    | SpeechIgnored
    | EndOfTurnEstimated
    | EndOfTurnJudged
    | SpeechPaused
    | SpeechResumed
    | Transcribed
    | LanguageChanged
    | UtteranceDismissed
    | TurnDecided
    | TurnReopened
    | ReplyStarted
    | ReplyDiscarded
    | Span
    | ReplyText
    | ReplyProgress
    | ToolCalled
    | ToolStarted
    | ToolProgressed
    | ToolReturned
    | ToolsChanged
    | ToolMocked
    | PluginFailed
    | ReplyPlaying
    | ReplyPaused
    | BargeInJudged
    | ReplyResumed
    | ReplyEnded
    | Heard
    | TurnEnded
    | Spent
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its index in the trace and its time, ms since the session began."""

    i: int
    t_ms: float
    event: Event


def type_name(event: type[Any]) -> str:
    """The name of an event's type in the trace: `TurnDecided` → `turn_decided`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()


EVENT_TYPES: dict[str, type[Any]] = {type_name(kind): kind for kind in get_args(Event)}
"""Every type of event by its name in the trace."""
