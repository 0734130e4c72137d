"""The guard before FiftyOne's server, on a server that answers 200 to everything."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from curate.errors import ReviewError
from curate.review.app.mongo import free_port
from curate.review.app.requests import MOST_BYTES
from curate.review.app.running import alone
from curate.review.app.server import Guard, serve, url_of

PICTURE = "/data/cat 1.jpg"


async def open_to_all(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"reached"})


def guarded(**options: Any) -> Guard:
    return Guard(open_to_all, media={PICTURE}, key="key", **options)


def answer(
    guard: Guard, path: str, *, query: str = "", method: str = "GET", body: bytes = b"", **headers: str
) -> dict[str, Any]:
    """Status, headers and body of one request; by default of a browser that has opened the printed address."""
    given = {"host": "127.0.0.1:5151", "cookie": f"{guard._cookie}=key", **headers}
    scope = {
        "type": "http",
        "scheme": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    asyncio.run(guard(scope, receive, send))
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return {"status": sent[0]["status"], "headers": said, "body": sent[1]["body"]}


@pytest.mark.parametrize("host", ["127.0.0.1:5151", "localhost:9", "127.0.0.1", "[::1]:5151", "LOCALHOST"])
def test_names_of_this_machine_are_served_at_any_port_as_tunnels_need(host: str):
    assert answer(guarded(), "/", host=host)["status"] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:5151", "", "127.0.0.1@evil.example", "10.0.0.1"]
)
def test_other_host_names_are_refused(host: str):
    assert answer(guarded(), "/", host=host)["status"] == 403


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::"])
def test_beyond_loopback_this_machine_is_served_by_its_addresses_and_names_and_no_other_name(address: str):
    guard = guarded(address=address)
    name = socket.gethostname()
    for host in ("192.168.1.5:5151", "[fd00::5]:5151", "127.0.0.1:5151", name, f"{name.upper()}:5151"):
        assert answer(guard, "/", host=host)["status"] == 200
        assert answer(guard, "/", host=host, origin=f"http://{host}")["status"] == 200
        assert answer(guard, "/", host=host, origin="http://evil.example")["status"] == 403
        assert answer(guard, "/", host=host, cookie="")["status"] == 403  # the key stays required
    for host in ("evil.example", f"{name}.evil.example", "192.168.1.5.evil.example", "192.168.1.5@evil.example", ""):
        assert answer(guard, "/", host=host)["status"] == 403


def test_a_server_on_all_addresses_answers_at_one_that_is_not_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which of our addresses would
        except OSError:
            pytest.skip("this machine has no address beyond loopback")
        own = probe.getsockname()[0]
    port, answers = free_port("0.0.0.0"), []

    async def visit() -> None:
        until, ready = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(serve(guarded(address="0.0.0.0"), "0.0.0.0", port, until=until, ready=ready.set))
        await ready.wait()
        for path in ("/?key=key", "/"):
            connection = http.client.HTTPConnection(own, port, timeout=10)
            await asyncio.to_thread(connection.request, "GET", path)
            answers.append((await asyncio.to_thread(connection.getresponse)).status)
            connection.close()
        until.set()
        await serving

    asyncio.run(visit())
    assert answers == [303, 403]


def test_the_url_of_all_addresses_is_one_that_a_browser_can_open():
    urls = [url_of(address, 1, "/p") for address in ("127.0.0.1", "0.0.0.0", "::", "::1", "192.168.1.5")]
    assert urls == [f"http://{host}:1/p" for host in ("127.0.0.1", "127.0.0.1", "[::1]", "[::1]", "192.168.1.5")]


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:80", "https://127.0.0.1:5151", "http://localhost:5151", ""],
)
def test_requests_of_other_pages_are_refused(origin: str):
    assert answer(guarded(), "/operators/execute", method="POST", origin=origin)["status"] == 403


def test_requests_of_our_own_page_are_served():
    assert answer(guarded(), "/operators/execute", method="POST", origin="http://127.0.0.1:5151")["body"] == b"reached"


def test_without_the_key_nothing_is_served_and_with_it_a_cookie_takes_its_place():
    guard = guarded()
    assert answer(guard, "/", cookie="")["status"] == 403
    assert answer(guard, "/", cookie=f"{guard._cookie}=guess")["status"] == 403
    assert answer(guard, "/", cookie="other=key")["status"] == 403
    assert answer(guard, "/", cookie="", query="key=guess")["status"] == 403
    opened = answer(guard, "/datasets/a", cookie="", query="view=queue&key=key")
    assert opened["status"] == 303
    assert opened["headers"]["location"] == "/datasets/a?view=queue"
    assert opened["headers"]["set-cookie"].startswith(f"{guard._cookie}=key;")
    assert "HttpOnly" in opened["headers"]["set-cookie"]


@pytest.mark.parametrize("path", ["/media", "/media/"])
def test_pictures_of_the_dataset_are_served_and_no_other_file(path: str):
    assert answer(guarded(), path, query="filepath=/data/cat%201.jpg")["status"] == 200
    for query in (
        "filepath=/etc/passwd",
        "filepath=/data/cat%201.jpg&filepath=/etc/passwd",
        "filepath=/data/cat%201.jpg/../../etc/passwd",
        "filepath=/data/../data/cat%201.jpg",
    ):
        assert answer(guarded(), path, query=query)["status"] == 403


def test_what_the_app_itself_changes_is_looked_at_afterwards():
    looked: list[str] = []
    guard = guarded(after_write=lambda: looked.append("looked"))
    answer(guard, "/graphql", method="POST")
    answer(guard, "/media", query="filepath=/data/cat%201.jpg")
    assert looked == []
    answer(guard, "/tag", method="POST")
    answer(guard, "/dataset/1/sample/2", method="PATCH")
    assert looked == ["looked"] * 2


def test_a_second_holder_is_told_the_address_of_the_first(tmp_path: Path):
    with alone(tmp_path / "lock") as first:
        with pytest.raises(ReviewError, match="just starting"), alone(tmp_path / "lock"):
            pass
        first.tell("http://127.0.0.1:1/?key=k")
        with pytest.raises(ReviewError, match="http://127.0.0.1:1/"), alone(tmp_path / "lock"):
            pass
    with alone(tmp_path / "lock"):
        pass
    assert (tmp_path / "lock").stat().st_mode & 0o077 == 0


def test_a_cookie_of_an_odd_name_does_not_hide_ours():
    for other in ("a[]=1; ", 'x="a;b"; ', "=; ", "é=1; "):
        guard = guarded()
        assert answer(guard, "/", cookie=f"{other}{guard._cookie}=key")["status"] == 200


@pytest.mark.parametrize("host", ["[", "[::1", "]:5151", "127.0.0.1:port", "a b"])
def test_a_host_that_is_none_is_refused_not_an_error(host: str):
    assert answer(guarded(), "/", host=host)["status"] in (200, 403)
    assert answer(guarded(), "/", host="[")["status"] == 403


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example", "/\\/evil.example", "//"])
def test_the_key_leads_to_no_other_host(path: str):
    place = answer(guarded(), path, cookie="", query="key=key")["headers"]["location"]
    assert re.match(r"/($|[^/\\])", place)


def test_line_breaks_of_a_path_stay_in_the_path():
    headers = answer(guarded(), "/a\r\nSet-Cookie: x=1", cookie="", query="key=key")["headers"]
    assert "\n" not in headers["location"] and set(headers) & {"Set-Cookie"} == set()


def test_a_body_without_end_is_refused():
    assert answer(guarded(), "/tag", method="POST", body=b"x" * (MOST_BYTES + 1))["status"] == 413
    assert answer(guarded(), "/tag", method="POST", body=b"[" * 100_000)["status"] == 403
    assert answer(guarded(), "/tag", method="POST", body=b"\xff")["status"] == 403
    assert answer(guarded(), "/tag", method="POST", body=b'{"changes": {}}')["status"] == 200


def test_a_view_in_a_query_string_is_looked_at_as_a_body_is():
    view = quote('[{"_cls": "subprocess.Popen", "kwargs": []}]')
    assert answer(guarded(), "/fiftyone", query=f"view={view}")["status"] == 403
    assert answer(guarded(), "/fiftyone", query="view=[not-json")["status"] == 200


def test_labels_and_layouts_may_name_their_classes_and_nothing_else():
    edit = b'[{"op": "replace", "path": "/label", "value": {"_cls": "%s", "label": "cat"}}]'
    path = "/dataset/1/sample/2"
    assert answer(guarded(), path, method="PATCH", body=edit % b"Classification")["status"] == 200
    assert answer(guarded(), path, method="PATCH", body=edit % b"os.system")["status"] == 403
    assert answer(guarded(), "/graphql", method="POST", body=b'{"workspace": {"_cls": "Space"}}')["status"] == 200
    assert answer(guarded(), "/graphql", method="POST", body=b'{"view": [{"_cls": "Popen"}]}')["status"] == 403
