"""What one line of the suite plays on: a running stack, an account of its own, and the unmodified SDK on a transport that
records what it sends, answers in the server's place, or loses a reply. `http_client` is the SDK's own way to get one."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import threading
import time
import uuid
from dataclasses import dataclass, field

import httpx2
import openai

with open(os.path.join(os.environ["CALLSHEET_HOME"], "dev.json"), encoding="utf-8") as file:
    DEV = json.load(file)

# A video of a fraction of a second's work, and one that holds its device until it is told to stop.
TINY = {"prompt": "a red fox in the snow", "size": "320x192", "seconds": "1", "extra_body": {"steps": 8}}
ENDLESS = {**TINY, "prompt": "!idle=200 a snail crosses a road", "extra_body": {"steps": 100}}
COMPLETED_WITHIN_S = 60


@dataclass
class Exchange:
    request: httpx2.Request
    at: float
    response: "httpx2.Response | None" = None


@dataclass
class Recorder(httpx2.HTTPTransport):
    """Faults are met by the next requests of their method and path, one each: `(status, headers)`, or None for a lost reply."""

    exchanges: "list[Exchange]" = field(default_factory=list)
    faults: "list[tuple[str, str, tuple[int, dict] | None]]" = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = Exchange(request, time.monotonic())
        self.exchanges.append(exchange)
        met = next((one for one in self.faults if one[:2] == (request.method, request.url.path)), None)
        if met is None:
            exchange.response = super().handle_request(request)
            return exchange.response
        self.faults.remove(met)
        if met[2] is None:
            super().handle_request(request).read()
            raise httpx2.ReadError("the reply was lost", request=request)
        status, headers = met[2]
        return httpx2.Response(status, headers=headers, json={"error": {"message": "a fault"}}, request=request)

    def calls(self, method: str, path: str) -> "list[Exchange]":
        return [one for one in self.exchanges if (one.request.method, one.request.url.path) == (method, path)]


class Stage:
    def __init__(self, tier: str = "pro", credits: str = "1000") -> None:
        self.account = admin("/accounts", {"name": "python", "tier": tier})["id"]
        admin("/grants", {"account_id": self.account, "amount": credits})
        self.api_key = admin(f"/accounts/{self.account}/keys")["api_key"]
        self.sent = Recorder()
        self.client = self.client_of(self.api_key)

    def client_of(self, api_key: str) -> openai.OpenAI:
        transport = openai.DefaultHttpxClient(transport=self.sent)
        return openai.OpenAI(base_url=f"{DEV['edge_url']}/v1", api_key=api_key, http_client=transport)

    def reaches(self, video_id: str, status: str):
        until = time.monotonic() + COMPLETED_WITHIN_S
        while (video := self.client.videos.retrieve(video_id)).status != status:
            assert time.monotonic() < until, f"{video_id} is not {status} but {video.status}: {video.error}"
            time.sleep(0.05)
        return video

    def made(self):
        return self.reaches(self.client.videos.create(**TINY).id, "completed")

    def close(self) -> None:
        for video in self.client.videos.list(limit=100):
            if video.status in ("queued", "in_progress"):
                self.client.videos.delete(video.id)


def admin(path: str, body: "dict | None" = None) -> dict:
    headers = {"authorization": f"Bearer {DEV['admin_token']}", "idempotency-key": str(uuid.uuid4())}
    answer = httpx2.post(f"{DEV['admin_url']}/admin/v1{path}", headers=headers, json=body or {})
    answer.raise_for_status()
    return answer.json()


@contextlib.contextmanager
def receiver():
    """A server on loopback that answers everything 200, and the list of what came: (path, headers, body)."""
    received: list = []
    came = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            received.append((self.path, dict(self.headers), body.decode()))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"signed bytes")
            came.set()

        do_GET = do_POST

        def log_message(self, *_args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received, came
    finally:
        server.shutdown()
        server.server_close()


def refused(kind: type, code: str, call, param: "str | None" = None) -> openai.APIStatusError:
    """The SDK's typed exception with our code and parameter, and the id of the request."""
    try:
        call()
    except openai.APIStatusError as error:
        assert isinstance(error, kind), repr(error)
        assert (error.code, error.param) == (code, param), error.body
        assert (error.request_id or "").startswith("req_"), error.request_id
        return error
    raise AssertionError(f"expected {kind.__name__}")


def signed(secret: str, message_id: str, at: int, body: str) -> dict:
    """As Standard Webhooks signs; written here, because the SDK only verifies."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{at}.{body}".encode(), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}
