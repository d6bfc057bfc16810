"""What a saved notebook has of a conversation: an output under the live widget, HTML and a picture.

A widget's own output says only which widget it is. Drawing that output again would build the widget's view anew in
JupyterLab, with the focus and the microphone's meters gone; so this is an output of its own, drawn again when turns
have ended, which the page hides while a live view is there.
"""

from __future__ import annotations

from base64 import b64encode

from workbench.model.text import plain
from workbench.session import Session
from workbench.views.format import summarize
from workbench.views.html import TEXT_CHARS, key, picture, problem_html, session_html, styled, turns_html
from workbench.views.live_output import LiveOutput

MOST_TURNS = 40
"""Turns of the conversation that are saved, the last ones."""
NO_KERNEL = (
    ".jp-OutputArea-child:has(.jupyter-widgets):not(:has(.jupyter-widgets *))"
    ":has(+ .jp-OutputArea-child .wb-saved){display:none}"
)
"""JupyterLab without the kernel says in the widget's place that there is none: this is there instead."""


def saved_output(session: Session, ident: str) -> LiveOutput:
    """Return the output of a session's widget; `ident` is how its page knows what to hide."""
    return LiveOutput(session.trace, lambda: conversation_bundle(session, ident))


def conversation_bundle(session: Session, ident: str = "") -> dict[str, object]:
    """Return the conversation until now, with the last waterfall and the latency, by MIME type."""
    trace, turns = session.trace, session.trace.turns
    lines = [f"{trace.title()}: {summarize(turns)}"]
    for turn in turns[-MOST_TURNS:]:
        texts = (f"you: {turn.user_text}", f"agent: {turn.agent_text}")
        lines += [plain(text, TEXT_CHARS, one_line=True) for text in texts]
    bundle: dict[str, object] = {"text/plain": "\n".join(lines)}
    table = turns_html(turns, limit=MOST_TURNS) if turns else "no turn has ended yet"
    figure = ""
    if any(turn.lanes_ms for turn in turns):
        from workbench.views.figures import draw_summary  # matplotlib: 0.3 s, not needed to begin

        png = draw_summary(turns).png()
        bundle["image/png"] = b64encode(png).decode()
        figure = f"{picture(png, 'heard latency over the turns, and the last waterfall')}<br>{key(turns)}"
    error = session.error
    trouble = f"<br>{problem_html('', error.reason, error.hint)}" if error else ""
    body = session_html(trace.title(), session.over, f"{summarize(turns)}{trouble}<br>{table}{figure}")
    classes = f"wb-saved wb-saved-{ident} mathjax_ignore tex2jax_ignore"
    bundle["text/html"] = styled(f'<style>{NO_KERNEL}</style><div class="{classes}">{body}</div>')
    return bundle
