"""Every threshold of the engine, with what it does. All can change while a session runs: each is read where used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Words = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda value: (
            [word for part in value.split(",") if (word := part.strip())] if isinstance(value, str) else value
        )
    ),
]
"""Words or phrases; commas part them in a single text."""


class SettingsModel(BaseModel):
    """Settings that are validated whenever they are assigned."""

    model_config = ConfigDict(validate_assignment=True, extra="forbid")


class VadSettings(SettingsModel):
    """When sound counts as speech."""

    threshold: float = Field(0.5, ge=0.01, le=0.99)
    """Probability from which a window counts as the onset of speech."""
    release: float = Field(0.15, ge=0, le=0.9)
    """How far below the threshold the probability must fall for speech to pause."""
    preroll_ms: float = Field(300, ge=0, le=2000)
    """Sound before the onset that the STT is given too, ms."""
    min_speech_ms: float = Field(90, ge=0, le=1000)
    """Sound above the threshold shorter than this is a click, not an utterance, ms."""
    pause_ms: float = Field(100, ge=20, le=1000)
    """Silence after which speech counts as paused, ms; a reply may be prepared from here."""


SILENCE_MS = 350.0


class TurnSettings(SettingsModel):
    """When the user has finished."""

    silence_ms: float = Field(SILENCE_MS, ge=50, le=5000)
    """Silence that ends a turn, ms: what is assumed of a user before their own pauses are known (the prior). `hold_ms`
    and `complete_ms` go with it: they are meant for 350 ms, and twice as long at 700."""
    adapt: bool = True
    """Learn from how long this user's pauses within a turn are."""
    min_silence_ms: float = Field(250, ge=50, le=5000)
    """The least that adapting may lead to, ms."""
    max_silence_ms: float = Field(1200, ge=50, le=10000)
    """The most that adapting may lead to, ms."""
    hold_ms: float = Field(420, ge=0, le=5000)
    """Silence before which no reply is heard, ms, unless the turn is surely complete: one that is ready sooner is held
    back, and taken back where the user goes on."""
    complete_ms: float = Field(200, ge=50, le=5000)
    """Silence that ends a turn that is surely complete, by its words or its sound, ms."""
    unfinished_ms: float = Field(3000, ge=50, le=10000)
    """Silence that ends a turn that is surely unfinished, ms: after "and" or "um", within a number being dictated."""
    complete_probability: float = Field(0.7, ge=0, le=1)
    """Probability that the turn is over, by its sound, from which on it counts as complete."""
    unfinished_probability: float = Field(0.2, ge=0, le=1)
    """Probability that the turn is over, by its sound, up to which it counts as unfinished."""
    max_utterance_s: float = Field(60, ge=1, le=600)
    """Speech is given to the STT in parts of this length at most, s, divided at a pause where there is one; the turn
    goes on."""

    def in_proportion(self, ms: float) -> float:
        """Return a wait that is meant for the default `silence_ms` for the one that is set, ms."""
        return ms * self.silence_ms / SILENCE_MS


class BargeInSettings(SettingsModel):
    """What happens when the user speaks while the agent does."""

    mode: Literal["full", "half"] = "full"
    """full: pause first, then decide; half: do not listen while the agent speaks."""
    fade_ms: float = Field(15, ge=10, le=20)
    """Length of the fade when the output pauses and resumes, ms."""
    verdict_ms: float = Field(600, ge=100, le=600)
    """A reply that paused goes on at the latest this long after onset, unless the user surely speaks, ms."""
    longest_pause_ms: float = Field(4000, ge=600, le=30_000)
    """While the user surely speaks and no words have come, a reply stays paused at most this long, ms."""
    min_speech_ms: float = Field(400, ge=50, le=600)
    """Speech of this length interrupts where the STT gives no partial transcripts, ms."""
    min_words: int = Field(1, ge=1, le=10)
    """Words (other than backchannels) that interrupt."""
    backchannels: Words = ()
    """What users say without wanting the floor, in place of the list of the agent's language: "mhm, i see, va bene"."""
    min_confidence: float = Field(0.25, ge=0, le=1)
    """Confidence below which transcribed words do not count."""
    echo_share: float = Field(0.5, ge=0, le=1)
    """Share of the microphone's sound that is explained by what we play, from which it is our echo."""
    raise_threshold: float = Field(0.2, ge=0, le=0.5)
    """How much the VAD threshold rises after a false pause."""
    raise_ms: float = Field(2000, ge=0, le=20000)
    """How long it stays raised, ms."""
    false_limit: int = Field(2, ge=1, le=100)
    """False pauses within `false_window_ms` that switch to half duplex."""
    false_window_ms: float = Field(5000, ge=0, le=60000)
    """How close together those false pauses are, ms."""
    min_erle_db: float = Field(6, ge=0, le=60)
    """Echo return loss enhancement below which echo counts as not under control, dB."""


class ReplySettings(SettingsModel):
    """How replies are made."""

    speculate: Literal["auto", "on", "off"] = "auto"
    """Begin replies before the turn is decided. auto: the LLM does, once a transcript covers all speech so far; STT and
    TTS where they run on board, as far away their seconds are billed. on: all of them. off: none."""
    spare_tokens: int = Field(20_000, ge=0)
    """Tokens a minute that replies may cost which were begun too early and discarded; then they begin at the end of the
    turn."""
    buffer_s: float = Field(2.0, ge=0.1, le=30)
    """Speech made ahead of what is played, s."""
    first_chunk_chars: int = Field(12, ge=1, le=200)
    """The first clause is spoken alone when it has at least so many characters."""
    chunk_chars: int = Field(200, ge=20, le=2000)
    """A chunk after the first is at most so long."""
    show_thinking: bool = False
    """What the model thinks is in the trace, on screens and in `--json`; it is never spoken, nor remembered."""
    history: int = Field(40, ge=0, le=10000)
    """Messages of the conversation that the LLM is shown, and that are kept."""
    max_tool_steps: int = Field(5, ge=0, le=50)
    """Rounds of tool calls in one reply at most."""
    silence_after_s: float = Field(8.0, ge=1, le=600)
    """Silence after which the agent's `on_silence` is said, s."""


class LimitSettings(SettingsModel):
    """Deadlines, retries and circuit breakers."""

    stt_ms: float = Field(15_000, ge=10)
    """The final transcript must come within this after the end of the turn, ms."""
    llm_first_token_ms: float = Field(15_000, ge=10)
    """The first piece of the answer must come within this, ms."""
    llm_gap_ms: float = Field(10_000, ge=10)
    """Between two pieces of the answer, ms."""
    tts_first_byte_ms: float = Field(10_000, ge=10)
    """The first sound of a chunk must come within this, ms."""
    tts_gap_ms: float = Field(10_000, ge=10)
    """Between two pieces of sound, ms."""
    tool_ms: float = Field(60_000, ge=10)
    """A tool that does not say how long it takes (`timeout_s`) must return within this, ms."""
    tool_result_chars: int = Field(8_000, ge=100)
    """Of a longer result the model is given so many characters, and told so; the trace has it whole."""
    hook_ms: float = Field(250, ge=1)
    """A plugin's hook that a reply waits for must return within this, ms."""
    observer_ms: float = Field(5_000, ge=1)
    """A plugin's hook that nobody waits for must return within this, ms."""
    retries: int = Field(2, ge=0, le=10)
    """Tries after the first, for failures where trying again can help and nothing was heard yet."""
    backoff_ms: float = Field(250, ge=0)
    """Wait before the first retry, doubled each time, ms; a 429's Retry-After is obeyed instead."""
    max_backoff_ms: float = Field(8_000, ge=0)
    """The longest wait before a retry, ms."""
    breaker_failures: int = Field(5, ge=1)
    """Consecutive failures after which a provider is not asked for `breaker_ms`."""
    breaker_ms: float = Field(15_000, ge=0)
    """How long such a provider is not asked, ms; then one request probes it."""
    hedge_ms: float = Field(3_000, ge=0)
    """Where a stage has several providers: the next one is asked beside one that has given nothing for this long, and
    who answers first is taken, ms. 0: it is asked only when the one before has failed."""
    warm_ms: float = Field(20_000, ge=0)
    """The longest that a session waits for its providers to warm up, ms."""
    load_ms: float = Field(180_000, ge=0)
    """A server of your own is waited for so long while it loads its model, at warm-up and in a turn, ms. A deadline
    that you set yourself goes before it."""


class EngineSettings(SettingsModel):
    """All of them."""

    vad: VadSettings = Field(default_factory=VadSettings)
    turn: TurnSettings = Field(default_factory=TurnSettings)
    bargein: BargeInSettings = Field(default_factory=BargeInSettings)
    reply: ReplySettings = Field(default_factory=ReplySettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
