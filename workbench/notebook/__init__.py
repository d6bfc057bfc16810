"""The workbench in a notebook: `from workbench.notebook import live, show, compare, score, knob, knobs, Drawing`.

Names are imported when they are asked for: matplotlib and ipywidgets cost half a second together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.notebook.dialogue_script import score as score
    from workbench.notebook.launcher import live as live
    from workbench.notebook.session_page import compare as compare
    from workbench.notebook.session_page import show as show
    from workbench.notebook.setting_widgets import knob as knob
    from workbench.notebook.setting_widgets import knobs as knobs
    from workbench.notebook.widget import LiveWidget as LiveWidget
    from workbench.views.figures import Drawing as Drawing
else:
    __getattr__, __dir__ = lazy_exports(__name__)
