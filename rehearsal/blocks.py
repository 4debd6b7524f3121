"""Reads the steps of docs/rehearsal.md: what is documented is what is run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "rehearsal.md"
_HEADING: Final = re.compile(r"#{2,3} (.+)")
_FENCE: Final = re.compile(r"```(\w*) ?(\w*)")


@dataclass(slots=True)
class Block:
    """One fenced block of commands.

    Attributes:
        title: the heading above it. kind: "names" (what every later block begins with), "refused"
            (the commands must fail), "" otherwise. line: where it begins, for messages.
        expected: lines that its output must hold, from the `text` block behind it.
    """

    title: str
    kind: str
    line: int
    script: str = ""
    expected: list[str] = field(default_factory=list)


def read_blocks(text: str) -> list[Block]:
    """All `bash` blocks of a document in their order; blocks in other languages are for readers.

    Raises:
        ValueError: a fence that is not closed, a kind that is not known, text without commands.
    """
    found: list[Block] = []
    title, language, kind, content = "", None, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if language is None and (heading := _HEADING.fullmatch(line)):
            title = heading[1]
        elif language is None and fence:
            language, kind, content = fence[1], fence[2], []
        elif language is not None and line == "```":
            _add(found, Block(title, kind, number - len(content)), language, content)
            language = None
        else:
            content.append(line)
    if language is not None:
        raise ValueError("the last fence is not closed")
    return found


def _add(found: list[Block], block: Block, language: str, content: list[str]) -> None:
    if language == "bash":
        if block.kind not in ("", "names", "refused"):
            raise ValueError(f"line {block.line}: blocks of kind {block.kind!r} are not known")
        block.script = "\n".join(content) + "\n"
        found.append(block)
    elif language == "text":
        if not found:
            raise ValueError(f"line {block.line}: what is expected stands behind its commands")
        found[-1].expected = [line.strip() for line in content if line.strip()]
