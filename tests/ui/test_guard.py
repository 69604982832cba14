"""Who may see the pages, and what they may do in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tests.ui.conftest import served

pytestmark = pytest.mark.slow

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
TOKEN = "s3cret+№ 1"
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("--warehouse", str(tmp_path_factory.mktemp("guard"))) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    arguments = ("--warehouse", str(tmp_path_factory.mktemp("token")), "ui", "--host", "0.0.0.0", "--port", "0")
    with served(*arguments, SCHEMAHUB_UI_TOKEN=TOKEN) as found:
        yield found.replace("0.0.0.0", "127.0.0.1")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_on_loopback_the_pages_are_served_under_its_names(address: str, name: str) -> None:
    assert requests.get(address, headers={"Host": address.replace("http://127.0.0.1", name)}, timeout=30).ok


@pytest.mark.parametrize("path", ["/", "/replay/ticks", SOCKET])
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example:80"}, {"Origin": "http://evil.example"}, {"Host": "127.0.0.1.evil.example"}]
)
def test_what_another_site_makes_a_browser_send_is_refused(address: str, path: str, headers: dict[str, str]) -> None:
    upgrade = UPGRADE if path == SOCKET else {}
    assert requests.get(f"{address}{path}", headers=headers | upgrade, timeout=30).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/replay/ticks", "/replay/trades.csv", "/books/depth?asset=BTC", "/live/told"])
def test_nor_can_it_have_pictures_made_of_answers(address: str, path: str, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert requests.get(f"{address}{path}", headers=headers, timeout=30).status_code == 403


def test_but_it_may_have_a_link_to_a_page(address: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert requests.get(f"{address}/?asset=BTC", headers=headers, timeout=30).ok


@pytest.mark.parametrize("host", ["[::1", "", "localhost.evil.example", "127.0.0.1@evil.example"])
def test_a_host_that_is_none_is_refused(address: str, host: str) -> None:
    assert requests.get(address, headers={"Host": host}, timeout=30).status_code == 403


def test_a_socket_of_the_pages_own_origin_is_opened(address: str) -> None:
    answer = requests.get(f"{address}{SOCKET}", headers=UPGRADE | {"Origin": address}, timeout=30, stream=True)
    assert answer.status_code == 101
    answer.close()


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/replay/ticks", "/schemahub/style.css"])
def test_beyond_loopback_nothing_is_served_without_the_token(guarded: str, path: str) -> None:
    answer = requests.get(f"{guarded}{path}", timeout=30)
    assert answer.status_code == 401
    assert "?token=" in answer.text
    assert "s3cret" not in answer.text


def test_nor_is_a_socket_opened(guarded: str) -> None:
    assert requests.get(f"{guarded}{SOCKET}", headers=UPGRADE, timeout=30).status_code == 403


@pytest.mark.parametrize("theirs", ['json={"a":1}', "a,b=1", "words=two words"])
def test_cookies_of_other_servers_on_the_host_do_not_lock_out(guarded: str, theirs: str) -> None:
    with requests.Session() as session:
        ours = session.get(f"{guarded}/?token={quote(TOKEN)}", allow_redirects=False, timeout=30).headers["Set-Cookie"]
    cookies = f"{theirs}; {ours.partition(';')[0]}; {theirs}"
    assert requests.get(guarded, headers={"Cookie": cookies}, timeout=30).ok


def test_a_token_may_be_pasted_as_it_is(guarded: str) -> None:
    assert requests.get(f"{guarded}/?token={TOKEN}", timeout=30).ok


def test_the_way_on_from_the_token_is_never_to_another_host(guarded: str) -> None:
    answer = requests.get(f"{guarded}//evil.example/?token={quote(TOKEN)}", allow_redirects=False, timeout=30)
    assert answer.headers["Location"] == "/evil.example/"


def test_the_token_is_given_once_and_leaves_the_address(guarded: str) -> None:
    with requests.Session() as session:
        given = f"{guarded}/?asset=BTC&token={quote(TOKEN)}&at=2024-02-08"
        first = session.get(given, allow_redirects=False, timeout=30)
        assert (first.status_code, first.headers["Location"]) == (303, "/?asset=BTC&at=2024-02-08")
        cookie = first.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert session.get(f"{guarded}/", timeout=30).ok
        answer = session.get(f"{guarded}{SOCKET}", headers=UPGRADE | {"Origin": guarded}, timeout=30, stream=True)
        assert answer.status_code == 101
        answer.close()


def test_the_token_is_in_no_page(guarded: str) -> None:
    assert "s3cret" not in requests.get(f"{guarded}/", cookies={"schemahub_token": "s3cret"}, timeout=30).text


def test_no_script_runs_but_those_the_page_was_served_with(address: str) -> None:
    answer = requests.get(address, timeout=30)
    (scripts,) = re.findall(r"script-src ([^;]*)", answer.headers["Content-Security-Policy"])
    assert "unsafe-inline" not in scripts
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert len(inline) >= 3
    for script in inline:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in scripts
    assert not re.findall(r"https?://(?!127\.0\.0\.1|www\.w3\.org)[\w.]+", answer.text)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "give --token too"),
        (["--host", "0.0.0.0", "--token", ""], "give --token too"),
        (["--port", "70000"], "not in the range"),
        (["--host", "192.0.2.1", "--token", "x"], "Cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_served_is_refused(tmp_path: Path, arguments: list[str], says: str) -> None:
    command = [sys.executable, "-m", "schemahub_lib", "--warehouse", str(tmp_path), "ui", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert says in ended.stderr


def test_a_port_that_is_taken_is_told(address: str, tmp_path: Path) -> None:
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "schemahub_lib", "--warehouse", str(tmp_path), "ui", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "Address already in use; another port may do" in ended.stderr
