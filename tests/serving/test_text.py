"""Tokens and text: the tokenizer, the chat template, and the text of a running answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tokenizer import AnswerText, TemplateRefused, Tokenizer


def test_known_tokens(tokenizer: Tokenizer) -> None:
    """Digits stand alone, special tokens are one token, words carry their space."""
    assert tokenizer.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    assert len(tokenizer.encode("2026")) == 4
    assert tokenizer.encode("<|im_end|>") == [tokenizer.eos_token]


@given(text=st.text(st.characters(exclude_categories=["C"]), max_size=60))
def test_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    """Any printable text survives tokens and back (some control bytes are in no vocabulary)."""
    assert tokenizer.decode(tokenizer.encode(text), skip_special=False) == text


def test_chat_template(tokenizer: Tokenizer) -> None:
    """The model's own template, with its default system message unless one is given."""
    messages = [{"role": "user", "content": "Hi"}]
    assert tokenizer.render_chat(messages) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
        "Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    assert tokenizer.render_chat(messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_template_failure_is_told(tokenizer: Tokenizer) -> None:
    """Messages that the template cannot render are refused, not a crash."""
    with pytest.raises(TemplateRefused):
        tokenizer.render_chat([{"role": "user"}])  # the template adds content to a text


@pytest.mark.parametrize("text", ["🌲🚒 fire", "日本語のテキスト", "Grüße — né", "a👩‍👩‍👧‍👦b"])
def test_stream_never_splits_a_character(tokenizer: Tokenizer, text: str) -> None:
    """Pieces of a streamed answer are whole characters and add up to the text."""
    answer = AnswerText(tokenizer)
    pieces = [answer.push(token) for token in tokenizer.encode(text)]
    assert len(pieces) > 1
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + answer.finish() == text


@given(
    text=st.text("abc ", min_size=1, max_size=40),
    stops=st.lists(st.text("abc ", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_cut_where_they_begin(
    tokenizer: Tokenizer, text: str, stops: list[str]
) -> None:
    """What was shown is exactly the text before the stop string that is complete first."""
    places = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    expected = text[: min(places)[1]] if places else text
    answer, shown = AnswerText(tokenizer, stops), ""
    for token in tokenizer.encode(text):
        shown += answer.push(token)
        assert expected.startswith(shown)
        if answer.stopped:
            break
    assert answer.stopped == bool(places)
    assert shown + answer.finish() == expected
