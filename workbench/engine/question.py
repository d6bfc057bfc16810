"""What the agent has just asked: after a question "yes" is an answer, no backchannel, and a number may be dictated."""

from __future__ import annotations

import math
import re

from workbench.engine.played_text import split_played
from workbench.engine.reply import Reply
from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Conversation
from workbench.text.joining import join_texts
from workbench.text.turn_words import asks

NEARLY = 1.5
"""An answer may come so long before the end of the question, s."""
SINCE = 4.0
"""So long the agent may have talked on since the question, s."""
PER_SECOND = 15
"""Characters of text that are spoken in a second, about; …"""
UNSPACED_PER_SECOND = 8
"""… and those of a script without spaces."""
SENTENCE = re.compile(r".*?(?:[.!?…]+[\"'”’»)]*(?=\s|$)|[。！？؟]+|\n|$)\s*", re.DOTALL)


def pending_question(reply: Reply | None, conversation: Conversation, language: str) -> str:
    """Return what the agent has asked, or is just asking, and nobody has answered: by the reply that is played, else by
    the conversation's last message; an empty text if it asked nothing."""
    if reply is not None:
        text = split_played(reply.chunks, reply.audio.played)
        end = reply.chunks[-1].end if reply.chunks else None
        left_s = (end - reply.audio.played) / OUTPUT_RATE if end is not None else math.inf
        return question_in(text.played, text.unplayed, language, left_s)
    last = conversation.messages[-1] if conversation.messages else None
    return question_in(last.text, "", language) if last is not None and last.role == "assistant" else ""


def question_in(played: str, unplayed: str, language: str, left_s: float = math.inf) -> str:
    """Return the question that a text asks where `played` has been spoken of it, empty if it asks none there; `left_s`
    is how long the rest takes, where that is known."""
    sentences: list[str] = [sentence.strip() for sentence in SENTENCE.findall(played) if sentence.strip()]
    rest = SENTENCE.match(unplayed)
    coming = rest.group().strip() if rest else ""
    coming_s = min(_seconds(coming), left_s if len(coming) == len(unplayed.strip()) else math.inf)
    if coming and coming_s <= NEARLY:
        begun = sentences.pop() if sentences and not re.search(r"[.!?…。！？]\W*$", sentences[-1]) else ""
        sentences.append(join_texts((begun, coming)))
    since = 0.0
    for sentence in reversed(sentences):
        if asks(sentence, language):
            return sentence
        since += _seconds(sentence)
        if since > SINCE:
            break
    return ""


def _seconds(text: str) -> float:
    """Return about how long it takes to say a text, s."""
    return len(text) / (PER_SECOND if text.isascii() or " " in text else UNSPACED_PER_SECOND)
