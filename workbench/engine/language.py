"""The language of the conversation: what follows when the user changes it."""

from __future__ import annotations

from workbench.engine.stages import Stages
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Conversation
from workbench.model.events import LanguageChanged
from workbench.text.languages import name_of
from workbench.text.turn_words import tag
from workbench.trace.trace import Trace

LEAST_LETTERS = 4
"""Of an utterance that changes the language: shorter ones (`ok`, `ja`) are words of many."""

CERTAIN = 0.45
"""The confidence of a transcript that changes the language: a doubtful one may be of another that sounds alike."""


class LanguageFollower:
    """Has voice, spoken text and instructions follow the language that the STT heard, where that is to be found out."""

    def __init__(self, stages: Stages, conversation: Conversation, trace: Trace) -> None:
        self._stages = stages
        self._conversation = conversation
        self._trace = trace

    def follow(self, utterance: Utterance) -> None:
        """Go over to the language of an utterance, before it is answered."""
        transcript, stages = utterance.transcript, self._stages
        if not stages.detects_language or transcript is None or not transcript.language:
            return
        if transcript.confidence is not None and transcript.confidence < CERTAIN:
            return
        before, language = stages.language, transcript.language
        if tag(language) == tag(before) or sum(map(str.isalpha, transcript.text)) < LEAST_LETTERS:
            return
        utterance.language = language
        stages.use_language(language)
        self._conversation.note = f"The user speaks {name_of(language)} now: answer in {name_of(language)}."
        self._trace.emit(LanguageChanged(language, before, utterance.id))
