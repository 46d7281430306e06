"""A malformed or missing environment variable stops the start, and the message names it."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from portfolio_site.kernel.env import env_bool, env_choice, env_int, env_list, env_path, env_secret, env_str

NAME = "SOME_SETTING"
ROOT = Path(__file__).parents[2]
PRODUCTION = {"SECRET_KEY": "x" * 60, "DATABASE_URL": "sqlite://:memory:", "DEBUG": "0"}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)
    return lambda value: monkeypatch.setenv(NAME, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *dict.fromkeys(["1", "true", " Yes ", "ON"], True).items(),
        *dict.fromkeys(["0", "False", "no", "off", ""], False).items(),
    ],
)
def test_words_for_yes_and_no(given: Callable[[str], None], text: str, value: bool) -> None:
    given(text)
    assert env_bool(NAME, default=not value) is value


def test_whole_numbers_from_a_minimum_on(given: Callable[[str], None]) -> None:
    given("7")
    assert env_int(NAME, 1) == 7
    assert env_int(NAME, 1, minimum=7) == 7


def test_lists_are_cut_at_commas_and_trimmed(given: Callable[[str], None]) -> None:
    given(" a.example ,, b.example,")
    assert env_list(NAME) == ["a.example", "b.example"]


def test_defaults_where_nothing_is_set(given: Callable[[str], None]) -> None:
    assert env_bool(NAME, default=True) is True
    assert env_int(NAME, 3) == 3
    assert env_str(NAME, "x") == "x"
    assert env_list(NAME, "a,b") == ["a", "b"]
    assert env_choice(NAME, "text", ("text", "json")) == "text"
    assert env_secret(NAME) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("maybe", lambda: env_bool(NAME, default=False)),
        ("2", lambda: env_bool(NAME, default=False)),
        ("ten", lambda: env_int(NAME, 1)),
        ("", lambda: env_int(NAME, 1)),
        ("1.5", lambda: env_int(NAME, 1)),
        ("-1", lambda: env_int(NAME, 1)),
        ("4", lambda: env_int(NAME, 9, minimum=5)),
        ("xml", lambda: env_choice(NAME, "text", ("text", "json"))),
    ],
)
def test_what_cannot_be_read_names_the_variable(
    given: Callable[[str], None], text: str, read: Callable[[], Any]
) -> None:
    given(text)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be .*it is"):
        read()


def test_a_missing_text_names_the_variable(given: Callable[[str], None]) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} is not set"):
        env_str(NAME)


def test_a_secret_comes_from_its_file_first(
    given: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given("from the environment")
    assert env_secret(NAME) == "from the environment"
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    assert env_secret(NAME) == "from the file"
    file.unlink()
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE cannot be read"):
        env_secret(NAME)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], dict[str, Any]]:
    """Read the settings anew in an environment that has nothing else."""

    def read(environment: dict[str, str]) -> dict[str, Any]:
        monkeypatch.setattr(os, "environ", environment)
        return runpy.run_path(str(ROOT / "portfolio_site" / "settings.py"))

    return read


def test_the_settings_of_a_server_are_accepted(start: Callable[[dict[str, str]], dict[str, Any]]) -> None:
    settings = start(PRODUCTION)
    assert (settings["DEBUG"], settings["SECRET_KEY"]) == (False, PRODUCTION["SECRET_KEY"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY_FILE", "/nowhere/secret"),
        ("DEBUG", "maybe"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "oracle-of-delphi://somewhere/else"),
        ("DATABASE_URL", "postgres://user@host:port/name"),
        ("REDIS_URL", "http://localhost:6379"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("IMPORT_MAX_BYTES", "0"),
        ("FX_MAX_CARRY_DAYS", "a week"),
        ("PRICE_STALE_DAYS", "-1"),
        ("SECURE_SSL_REDIRECT", "perhaps"),
        ("SECURE_HSTS_SECONDS", "-1"),
    ],
)
def test_a_bad_setting_stops_the_start_and_is_named(
    start: Callable[[dict[str, str]], dict[str, Any]], name: str, value: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        start(PRODUCTION | {name: value})


def test_without_a_secret_key_a_process_does_not_start() -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "sqlite://:memory:"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "ImproperlyConfigured: SECRET_KEY" in ended.stderr


def test_an_empty_path_is_the_default_and_not_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "")
    assert env_path("FOLDER", Path("/var/lib/files")) == Path("/var/lib/files")
    monkeypatch.setenv("FOLDER", "/srv/files")
    assert env_path("FOLDER", Path("/var/lib/files")) == Path("/srv/files")
