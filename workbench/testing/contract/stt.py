"""`check_stt`: what the engine relies on in speech to text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from workbench.engine.interfaces import Stt
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.plugin.hookspecs import ProviderOptions
from workbench.simulation.synthesis import noise, speech
from workbench.testing.contract.ear import AT_A_TIME, FRAME, Ear
from workbench.testing.contract.rules import Ledger, Maker, Report, Rule, factory, shown
from workbench.testing.contract.stage import Use, check
from workbench.testing.contract.trial import Trial

MEMBERS = {"name": str, "partials": bool, "starts": int, "warm": None, "transcribe": None}
LOUDEST = 32_767
LONG_S = 60
"""As long as an utterance gets, s."""
AS_SPOKEN_S = AT_A_TIME * FRAME / INPUT_RATE
DISMISSED_S = 0.5
"""An utterance that was none is over within this time, s."""


def check_stt(
    make: Maker[Stt],
    *,
    options: ProviderOptions | None = None,
    sound: Samples | None = None,
    failing: Callable[[], Stt] | None = None,
    deadline_s: float = 30.0,
) -> Report:
    """Check a speech to text. Raises BrokenRule.

    `sound` is a recording of 1 to 5 s with words in it, int16 at 16 kHz: with one it is also checked that there is a
    text, and that it comes while the user speaks if the provider says so (`partials`). The default is a voice that says
    nothing. `failing` gives one whose calls have to fail (a server that is not there, a wrong key), to see that it says
    why. No call may take longer than `deadline_s`.
    """
    ledger = Ledger("stt")
    ear = Ear(ledger)
    said = speech(1.2, seed=1) if sound is None else sound

    async def whole(stt: Stt) -> None:
        final, written = await ear.live(stt, said, patient=True)
        same = final.text == written[-1].transcript.text
        ledger.need(same, Rule.HEARS, "nothing was said since the pause, and the text is another one")
        ledger.need(final.text or sound is None, Rule.ANSWERS, "it found no word in the recording")
        ledger.kept(Rule.HEARS, len(written), "transcripts before the last")
        ledger.kept(Rule.FORMAT, len(written) + 1, "transcripts")

    async def more(trial: Trial, stt: Stt) -> None:
        await trial.done("a call without `eager`", ear.live(stt, said, eager=False))
        if sound is not None:
            await _partials(trial, ear, stt, sound)
        await _silence(trial, ear, stt, said)
        await _dismissed(trial, ear, stt, said)

    def odd(samples: Samples) -> Callable[[Stt], Coroutine[Any, Any, Any]]:
        return lambda stt: ear.ended(stt, samples)

    use = Use(
        MEMBERS,
        whole,
        lambda stt: ear.live(stt, said[:INPUT_RATE]),
        {what: odd(samples) for what, samples in _odd().items()},
        {"an utterance of 60 s": odd(np.resize(said, LONG_S * INPUT_RATE))},
        more,
    )
    return check(factory(make, "stt", options), use, ledger, failing, deadline_s)


def _odd() -> dict[str, Samples]:
    square = np.where(np.arange(INPUT_RATE) // 40 % 2, LOUDEST, -LOUDEST - 1).astype(np.int16)
    return {
        "an utterance without sound": silence(0),
        "an utterance of one sample": silence(1),
        "an utterance of 20 ms": speech(0.02),
        "noise": noise(1.0, db=-30.0),
        "sound at full scale": square,
    }


async def _partials(trial: Trial, ear: Ear, stt: Stt, sound: Samples) -> None:
    """Words come while the user speaks, if the provider says so; in real time, for a model needs some."""
    call = ear.live(stt, sound, every_s=AS_SPOKEN_S, patient=True)
    _, written = await trial.done("a call in real time", call)
    spoken, need = sum(one.state == "speaking" for one in written), trial.ledger.need
    need(spoken or not stt.partials, Rule.HEARS, "`partials` is true, but none came while it was spoken")
    need(not spoken or stt.partials, Rule.HEARS, "`partials` is false, but some came while it was spoken")
    trial.ledger.kept(Rule.HEARS, len(written), "transcripts before the last")


async def _silence(trial: Trial, ear: Ear, stt: Stt, said: Samples) -> None:
    """Silence has no text, whatever was said before."""
    await trial.done("a call", ear.ended(stt, said))
    final = await trial.done("a call with silence", ear.ended(stt, silence(INPUT_RATE)))
    trial.ledger.need(
        not final.text.strip(),
        Rule.FORGETS,
        f"after speech, silence gave the text {shown(final.text)}",
        "silence has no text: keep the sound of a call in the call, and drop what a model makes up",
    )
    trial.ledger.kept(Rule.FORGETS, len(final.text), "characters in silence")


async def _dismissed(trial: Trial, ear: Ear, stt: Stt, said: Samples) -> None:
    """An utterance that turns out to be none is over soon."""
    utterance, _ = ear.fresh()

    async def dismissed() -> float:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(stt.transcribe(utterance, eager=True))
            await asyncio.sleep(AS_SPOKEN_S)
            utterance.become("dismissed")
            began = loop.time()
            await asyncio.wait({hearing})
        return loop.time() - began

    took_s = await trial.done("a call for an utterance that is dismissed", dismissed())
    late = f"it took {took_s * 1000:.0f} ms to see that the utterance was dismissed"
    trial.ledger.need(took_s <= DISMISSED_S, Rule.HEARS, late)
