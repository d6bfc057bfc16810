"""An OpenAI-compatible API over any objects of the protocols `Stt`, `Llm` and `Tts`.

`/v1/models`, `/v1/chat/completions`, `/v1/audio/transcriptions` and `/v1/audio/speech`, in the shapes that OpenAI
documents, streamed where theirs are. There is one model of each kind, and it answers whatever `model` a request names.
A client that goes away cancels what was made for it.
"""

from workbench.server.openai.app import create_app, serving

__all__ = ["create_app", "serving"]
