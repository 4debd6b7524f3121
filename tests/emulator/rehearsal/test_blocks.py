"""The document's blocks as the script reads them."""

from __future__ import annotations

import pytest

from rehearsal.blocks import DOCUMENT, read_blocks

TEXT = """\
# Title
## First
```sh
never run
```
```bash names
A=1
```
### Second
```bash refused
false
```
```text
what is said
```
"""


def test_blocks_carry_their_heading_kind_and_expectation() -> None:
    """Only `bash` is run; a `text` block belongs to the commands before it."""
    names, refused = read_blocks(TEXT)
    assert (names.title, names.kind, names.script) == ("First", "names", "A=1\n")
    assert (refused.title, refused.kind, refused.expected) == (
        "Second", "refused", ["what is said"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["```bash\nopen", "```bash unknown\nx\n```", "```text\nbefore any command\n```"]
)
def test_a_malformed_document_is_told(text: str) -> None:
    """An open fence, an unknown kind, or an expectation of nothing does not pass unseen."""
    with pytest.raises(ValueError, match=r"\w"):
        read_blocks(text)


def test_the_rehearsal_goes_up_and_down() -> None:
    """The document makes, validates, is refused and takes down, and proves that nothing is left."""
    blocks = read_blocks(DOCUMENT.read_text(encoding="utf-8"))
    titles = [b.title for b in blocks]
    assert titles[0] == "Names"
    assert titles[-1] == "Nothing is left"
    assert sum(b.kind == "refused" for b in blocks) == 3
