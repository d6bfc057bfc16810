"""The keys of a recording's screen; what they do is in its actions."""

from __future__ import annotations

from textual.binding import Binding, BindingType

REPLAY_KEYS: list[BindingType] = [
    Binding("left", "step(-1)", "Earlier", id="replay.earlier", tooltip="The turn before."),
    Binding("right", "step(1)", "Later", id="replay.later", tooltip="The turn after."),
    Binding("space", "play('both')", "Play", id="replay.play", tooltip="Play what is marked on the axis, or stop."),
    Binding("u", "play('user')", "You", id="replay.user", tooltip="Play what is marked, the user alone."),
    Binding("a", "play('agent')", "Agent", id="replay.agent", tooltip="Play what is marked, the agent alone."),
    Binding(
        "tab", "view(1)", "View", id="replay.view", priority=True,
        tooltip="Why the agent spoke or did not, the turn's events, its waterfall, and all latencies.",
    ),
    Binding("plus,equals_sign", "zoom(0.5)", "Closer", id="replay.in", key_display="+", tooltip="Zoom in."),
    Binding("minus", "zoom(2)", "Wider", id="replay.out", key_display="-", tooltip="Zoom out."),
    Binding("slash", "search", "Search", id="replay.search", key_display="/", tooltip="Search words and events."),
    Binding("question_mark", "help", "Help", id="replay.help", key_display="?", tooltip="Show the keys."),
    Binding("left_square_bracket", "part(-1)", "Part before", id="replay.part_before", show=False, key_display="[",
            tooltip="Mark the speech before: a part of what the user or the agent said, to play it alone."),
    Binding("right_square_bracket", "part(1)", "Part after", id="replay.part_after", show=False, key_display="]",
            tooltip="Mark the speech after."),
    Binding("enter", "fit", "Fit turn", id="replay.fit", show=False, tooltip="Mark the turn, and zoom to it."),
    Binding("0", "whole", "Whole session", id="replay.whole", show=False, tooltip="See the whole session."),
    Binding("shift+left", "pan(-0.5)", "Move left", id="replay.pan_left", show=False, tooltip="Go back in time."),
    Binding("shift+right", "pan(0.5)", "Move right", id="replay.pan_right", show=False, tooltip="Go on in time."),
    Binding("home", "step(-1_000_000)", "First", id="replay.first", show=False, tooltip="The first turn."),
    Binding("end", "step(1_000_000)", "Last", id="replay.last", show=False, tooltip="The last turn."),
    Binding("n", "match(1)", "Next match", id="replay.next", show=False, tooltip="The next match of a search."),
    Binding("N", "match(-1)", "Match before", id="replay.previous", show=False, tooltip="The match before."),
    Binding("ctrl+l", "log", "Events", id="replay.events", show=False, priority=True, tooltip="Show the events."),
    Binding("t", "save_test", "Save as test", id="replay.save_test", show=False,
            tooltip="Save the turn as a test that pytest runs, in tests/turns."),
    Binding("f", "frequent", "All events", id="replay.frequent", show=False,
            tooltip="List levels, probabilities and other frequent events too, or leave them out."),
    Binding("shift+tab", "view(-1)", "View before", id="replay.view_before", show=False, priority=True),
]  # fmt: skip
