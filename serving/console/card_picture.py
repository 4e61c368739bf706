"""The decision card as a picture: a self-contained SVG, without fonts or anything else from the network."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from serving.console.card import card, footer
from serving.console.customer_story import Story

WIDTH = 122  # columns
_FONT_FACES = re.compile(r"\s*@font-face\s*\{.*?\}", re.DOTALL)
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_PAPER = TerminalTheme(
    (255, 255, 255),
    (38, 44, 52),
    [
        (38, 44, 52),
        (176, 42, 55),
        (11, 110, 79),
        (176, 137, 104),
        (38, 84, 124),
        (111, 66, 137),
        (23, 107, 135),
        (222, 226, 230),
    ],
)


def picture(story: Story, *, title: str = "nextbest") -> str:
    """Return the card of a story as SVG.

    Parameters
    ----------
    story : whose; the picture shows the mapped fields of the records, so show nobody real
    title : in the picture's head
    """
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False, legacy_windows=False
    )
    console.print(card(story))
    console.print(Text(f"{footer(story)}\n", style="dim"))  # a last line shows no descenders
    drawn = console.export_svg(title=title, theme=_PAPER, unique_id="card")
    return _COMMENT.sub("", _FONT_FACES.sub("", drawn)).replace("Fira Code, monospace", "monospace")
