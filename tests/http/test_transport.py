"""What the network does to answers, on real sockets."""

from __future__ import annotations

import gzip
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemahub_lib import __version__
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Request
from schemahub_lib.http.transport import ConnectionFailed, Live

BODY = b'[{"trade_id":1}]'


def answer(handler, body=BODY, status=200, **headers):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def live(serve):
    opened = []

    def start(handle):
        opened.append(Live(serve(handle)))
        return opened[-1]

    yield start
    for sender in opened:
        sender.close()


def test_an_answer_has_status_lower_case_headers_text_and_its_size(live):
    response = live(lambda h: answer(h, CB_AFTER="17")).send(Request("/trades"), 5)
    assert (response.status, response.text, response.size) == (200, BODY.decode(), len(BODY))
    assert response.headers["cb-after"] == "17"


def test_requests_name_the_program_and_carry_their_parameters_and_headers(live):
    seen = []
    request = Request("/products/BTC-USD/trades", {"before": 7, "after": "9 1"}, headers={"X-Key": "k"})

    def handle(h):
        seen.append((h.path, h.headers["User-Agent"], h.headers["X-Key"]))
        answer(h)

    live(handle).send(request, 5)
    assert seen == [(f"/products/BTC-USD/trades?{request.query}", f"schemahub/{__version__}", "k")]


def test_a_post_sends_its_parameters_as_the_form_that_was_signed(live):
    seen = []
    request = Request("/0/private/Balance", {"nonce": 1, "a": "b c"}, method="POST")

    def handle(h):
        seen.append((h.path, h.rfile.read(int(h.headers["Content-Length"])).decode()))
        answer(h)

    live(handle).send(request, 5)
    assert seen == [("/0/private/Balance", request.query)]


def test_one_connection_serves_many_requests(live):
    connections = set()

    def handle(h):
        connections.add(h.client_address)
        answer(h)

    sender = live(handle)
    for _ in range(5):
        sender.send(Request("/trades"), 5)
    assert len(connections) == 1


def test_threads_keep_one_connection_each_at_most(live):
    connections = set()

    def handle(h):
        connections.add(h.client_address)
        time.sleep(0.005)
        answer(h)

    sender = live(handle)
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda _: sender.send(Request("/trades"), 5).text, range(96)))
    assert texts == [BODY.decode()] * 96
    assert len(connections) <= 16


def test_gzip_is_accepted_and_its_size_is_that_on_the_wire(live):
    packed = gzip.compress(b"[" + b"1," * 5000 + b"1]")

    def handle(h):
        assert h.headers["Accept-Encoding"] == "gzip"
        answer(h, packed, Content_Encoding="gzip")

    response = live(handle).send(Request("/trades"), 5)
    assert len(response.text) == 10_003
    assert response.size == len(packed)


def cut_short(h):
    h.send_response(200)
    h.send_header("Content-Length", str(len(BODY) + 10))
    h.end_headers()
    h.wfile.write(BODY)
    h.close_connection = True


def chunks_that_end_early(h):
    h.send_response(200)
    h.send_header("Transfer-Encoding", "chunked")
    h.end_headers()
    h.wfile.write(b"%x\r\n%b\r\n" % (len(BODY), BODY))
    h.close_connection = True


def packed_and_cut(h):
    packed = gzip.compress(BODY * 100)
    h.send_response(200)
    h.send_header("Content-Length", str(len(packed)))
    h.send_header("Content-Encoding", "gzip")
    h.end_headers()
    h.wfile.write(packed[:-9])
    h.close_connection = True


def not_gzip(h):
    answer(h, Content_Encoding="gzip")


def not_utf8(h):
    answer(h, b'["\xff"]')


def reset(h):
    h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for end in (h.rfile, h.wfile, h.connection):
        end.close()
    h.close_connection = True


def hang_up(h):
    h.close_connection = True


FAULTS = [cut_short, chunks_that_end_early, packed_and_cut, not_gzip, not_utf8, reset, hang_up]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_is_not_whole_is_refused(live, fault):
    with pytest.raises(ConnectionFailed) as failure:
        live(fault).send(Request("/trades"), 5)
    assert str(failure.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_client_asks_again_after_such_an_answer(serve, bourse, fault):
    calls = []

    def handle(h):
        calls.append(h.path)
        fault(h) if len(calls) == 1 else answer(h)

    with HttpClient(bourse, base_url=serve(handle), sleep=lambda seconds: None) as client:
        assert client.send(Request("/trades")).text == BODY.decode()
    assert len(calls) == 2


def test_an_answer_that_trickles_in_is_given_up_when_the_time_is_over(live):
    gone = threading.Event()

    def handle(h):
        h.send_response(200)
        h.send_header("Content-Length", "10000")
        h.end_headers()
        while not gone.wait(0.02):
            try:
                h.wfile.write(b"1")
            except OSError:
                return

    started = time.monotonic()
    with pytest.raises(ConnectionFailed, match="not complete after"):
        live(handle).send(Request("/trades"), 0.4)
    gone.set()
    assert time.monotonic() - started < 100  # it would have been 200 s


def test_a_slow_answer_is_not_waited_for_longer_than_the_time_left(live):
    release = threading.Event()

    def handle(h):
        release.wait(5)
        hang_up(h)

    started = time.monotonic()
    with pytest.raises(ConnectionFailed, match="timed out"):
        live(handle).send(Request("/trades"), 0.1)
    release.set()
    assert time.monotonic() - started < 3.0


def test_a_refused_connection_says_so():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    sender = Live(address)
    with pytest.raises(ConnectionFailed, match="Connection refused"):
        sender.send(Request("/trades"), 5)
    sender.close()


def test_an_unknown_host_says_so():
    sender = Live("http://no-such-host.invalid")
    with pytest.raises(ConnectionFailed, match=r"(?i)name|resolution|known|nodename"):
        sender.send(Request("/trades"), 5)
    sender.close()


def test_a_redirect_is_not_followed_because_it_would_take_the_key_along(live):
    paths = []

    def handle(h):
        paths.append(h.path)
        answer(h, b"moved", 302, Location="/elsewhere")

    assert live(handle).send(Request("/trades", headers={"X-Key": "k"}), 5).status == 302
    assert paths == ["/trades"]


def test_cookies_are_not_kept(live):
    seen = []

    def handle(h):
        seen.append(h.headers["Cookie"])
        answer(h, Set_Cookie="session=1")

    sender = live(handle)
    sender.send(Request("/trades"), 5)
    sender.send(Request("/trades"), 5)
    assert seen == [None, None]


def test_an_error_page_in_another_encoding_is_still_an_answer(live):
    response = live(lambda h: answer(h, "<p>Hébergé</p>".encode("latin-1"), 502)).send(Request("/trades"), 5)
    assert response.status == 502
    assert response.text.startswith("<p>H")


def test_importing_the_client_does_not_import_requests():
    code = "import sys, schemahub_lib.http.client, schemahub_lib.exchanges; sys.exit('requests' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0
