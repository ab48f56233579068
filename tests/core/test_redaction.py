"""Secrets in URLs are hidden, and nothing else is."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core import locks
from oddjets.core.console import RedactingFormatter, console, log
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.redaction import redacted, without_folders

UNRESERVED = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~%+:;,!$*@/.=", min_size=8)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://eos.cern.ch/a/b.root?authz=abc&x=1", "https://eos.cern.ch/a/b.root?authz=***&x=***"),
        ("root://me:pass@eos.cern.ch//a.root", "root://***@eos.cern.ch//a.root"),
        ("https://h/a.root?t=abc: no such file", "https://h/a.root?t=***: no such file"),
        ("see (https://h/a.root?t=abc), then", "see (https://h/a.root?t=***), then"),
        ("https://h/a.root?justatoken", "https://h/a.root?***"),
        ("sent 'Authorization: Bearer abc.def'", "sent 'Authorization: Bearer ***'"),
        ("root://eospublic.cern.ch//eos/a.root", "root://eospublic.cern.ch//eos/a.root"),
        ("/data/a?b=c.root", "/data/a?b=c.root"),
        ("tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
    ],
)
def test_what_is_shown(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/search/data.json", "data.json"),
        ("cannot read /home/me/a b/c.json: no such file", "cannot read a b/c.json: no such file"),
        ("see '/data/x/y.root', and ~/z/w.root", "see 'y.root', and w.root"),
        ("~me/z/w.root", "w.root"),
        ("file:///home/me/a.root", "a.root"),
        # what is no path of a machine stays
        ("https://eos.cern.ch/a/b.root", "https://eos.cern.ch/a/b.root"),
        ("root://eospublic.cern.ch//eos/a/b.root", "root://eospublic.cern.ch//eos/a/b.root"),
        ("processors/demo.yaml and ../data/x.json", "processors/demo.yaml and ../data/x.json"),
        (r"Events / 20 GeV, B C / D, m/s, $\tau_2/\tau_1$", r"Events / 20 GeV, B C / D, m/s, $\tau_2/\tau_1$"),
        ("/data.json", "/data.json"),
    ],
)
def test_folders_of_a_machine_are_left_out(text: str, shown: str) -> None:
    assert without_folders(text) == shown
    assert without_folders(shown) == shown


@given(secret=UNRESERVED.map(lambda text: f"S3CRET{text}S3CRET"))
def test_no_token_is_shown_wherever_it_stands(secret):
    bare = secret.replace("=", "") + "=="
    for url in (f"https://host/file.root?authz={secret}&x=2", f"https://host/file.root?x=1&{bare}"):
        for text in (url, f"{url}: cannot be read", json.dumps({"files": [url]}), f"'{url}'", f"({url})"):
            assert "S3CRET" not in redacted(text)
            assert "https://host/file.root?" in redacted(text)


def test_errors_logs_and_messages_hide_secrets(capfd, caplog):
    url = "https://user:S3CRET@host/f.root?authz=S3CRET"
    for error in (OddjetsError(f"{url}: gone"), InputFileError(f"{url}: gone", cause="missing file")):
        assert str(error) == "https://***@host/f.root?authz=***: gone"
    console.print(f"reading {url}", soft_wrap=True)
    log.warning("%s: timeout", url)
    assert "S3CRET" not in capfd.readouterr().err + caplog.text
    assert "host/f.root" in caplog.text


def test_what_other_packages_log_hides_secrets_too(capfd):
    """As the program sets logging up, tracebacks included."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(name)s: %(message)s"))
    try:
        raise OSError("https://host/f.root?authz=S3CRET")
    except OSError:
        record = logging.LogRecord("aiohttp", 30, "", 0, "%s", ("root://me:S3CRET@host//a",), sys.exc_info())
    handler.emit(record)
    said = capfd.readouterr().err
    assert "S3CRET" not in said
    assert "aiohttp: root://***@host//a" in said
    assert "OSError: https://host/f.root?authz=***" in said


def test_a_lock_hides_secrets_of_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["oddjets", "run", "a.yaml", "--scheduler", "tls://me:S3CRET@host:8786"])
    with locks.locked(tmp_path):
        assert "--scheduler tls://***@host:8786" in (locks.lock_holder(tmp_path) or "")
