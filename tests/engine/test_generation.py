"""Text on its way from the LLM to the TTS."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.support.scenario import Scenario, run
from workbench.engine.generation import ChunkQueue
from workbench.model.events import ReplyText
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import Raises, ScriptedLlm, ScriptedTts
from workbench.simulation.synthesis import Score
from workbench.text.sentences import Chunker

TEXT = "One and two and three. " * 6


def fed(*, patient: bool) -> list[int]:
    """How many sentences the LLM has got rid of: at once, when the first is taken, heard, and the second one taken."""

    async def main() -> list[int]:
        queue = ChunkQueue(Chunker(12, 200), lambda: None, patient=patient)
        done, seen = 0, []

        async def think() -> None:
            nonlocal done
            for sentence in TEXT.split(". ")[:-1]:
                await queue.feed(f"{sentence}. ")
                done += 1
            await queue.close()

        async def look() -> None:
            await asyncio.sleep(1)
            seen.append(done)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(think())
            await look()
            for step in (queue.get(), queue.get(), queue.get()):
                await step
                await look()
                queue.voiced.set()
                await look()
            while await queue.get() is not None:
                pass
        return seen

    return run_virtual(main())


def test_the_llm_waits_for_the_first_chunks_voice_and_is_then_one_chunk_ahead() -> None:
    assert fed(patient=True) == [0, 0, 2, 3, 3, 4, 4]


def test_an_llm_that_is_in_nobodys_way_runs_ahead() -> None:
    assert fed(patient=False) == [6] * 7


@pytest.mark.parametrize("failing", [False, True])
def test_all_is_said_or_written_by_models_on_board(failing: bool) -> None:
    score = Score().silence(0.5).say("one two").silence(8)
    llm, tts = ScriptedLlm([TEXT]), ScriptedTts(first_byte_ms=200)
    if failing:
        tts = ScriptedTts(faults=Raises(ValueError("broken")))
    llm.onboard = tts.onboard = True
    outcome = run(Scenario(score, llm=llm, tts=tts))
    assert "".join(event.text for event in outcome.all(ReplyText)).split() == TEXT.split()
    assert outcome.turns[0][0] == ("failed" if failing else "done")
