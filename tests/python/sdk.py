"""The conformance suite with the official Python SDK, unmodified, against the stack of CALLSHEET_HOME. Prints the report, and
writes it to CONFORMANCE_JSON if that is set. A line that fails makes it exit 1."""

import asyncio
import base64
import concurrent.futures
import json
import os
import platform
import sys
import time
import warnings

import openai

from stage import DEV, ENDLESS, TINY, Stage, receiver, refused, signed

# The SDK says of every video call that OpenAI's own service has ended.
warnings.filterwarnings("ignore", category=DeprecationWarning)

VIDEOS = "/v1/videos"
FIELDS = {
    *("id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt"),
    *("size", "seconds", "remixed_from_video_id", "error"),
}
PNG = os.path.join(os.path.dirname(__file__), "..", "support", "first-frame.png")
LINES: list = []


def line(call: str, title: str, tier: str = "pro", pending: "str | None" = None):
    def add(check):
        LINES.append((call, title, tier, pending, check))
        return check

    return add


def has_all_fields(video) -> None:
    assert video.object == "video" and isinstance(video.progress, int) and isinstance(video.seconds, str), video
    assert FIELDS <= video.model_fields_set, FIELDS - video.model_fields_set


@line("videos.create_and_poll", "polls as openai-poll-after-ms says until the video is completed; its MP4 is downloaded")
def _(stage: Stage) -> None:
    slow = {**TINY, "prompt": "!idle=200 waves", "extra_body": {"steps": 8}}
    video = stage.client.videos.create_and_poll(**slow)
    assert (video.status, video.progress) == ("completed", 100), video
    polls = stage.sent.calls("GET", f"{VIDEOS}/{video.id}")
    assert len(polls) > 1, "it was never seen active"
    # The SDK takes the first answer's word for all that follow.
    told_s = int(polls[0].response.headers["openai-poll-after-ms"]) / 1000
    gaps = [later.at - earlier.at for earlier, later in zip(polls, polls[1:])]
    assert all(gap >= told_s * 0.99 for gap in gaps), (told_s, gaps)
    assert "openai-poll-after-ms" not in polls[-1].response.headers
    content = stage.client.videos.download_content(video.id).read()
    assert content[4:8] == b"ftyp", content[:16]


@line("AsyncOpenAI videos.create_and_poll", "the same with the asynchronous client")
def _(stage: Stage) -> None:
    async def poll():
        async with openai.AsyncOpenAI(base_url=f"{DEV['edge_url']}/v1", api_key=stage.api_key) as client:
            return await client.videos.create_and_poll(**TINY)

    assert asyncio.run(poll()).status == "completed"


@line("videos.create", "a prompt alone is enough: sent as a form, answered with all 13 fields and OpenAI's defaults")
def _(stage: Stage) -> None:
    video = stage.client.videos.create(prompt="a lighthouse at dusk")
    has_all_fields(video)
    assert (video.status, video.size, video.seconds) == ("queued", "720x1280", "4"), video
    [created] = stage.sent.calls("POST", VIDEOS)
    assert created.request.headers["content-type"].startswith("multipart/form-data; boundary=")


@line("videos.create", "every field, OpenAI's and ours, is taken from the form; seconds may be a number")
def _(stage: Stage) -> None:
    ours = {"seed": 42, "steps": 100, "negative_prompt": "fog", "metadata": {"shot": "12a"}}
    deadlines = {"start_deadline_seconds": 600, "deadline_seconds": 900}
    asked = {**ENDLESS, "seconds": 1, "model": "reference", "extra_body": {**ours, **deadlines}}
    video = stage.client.videos.create(**asked)
    assert (video.seconds, video.metadata) == ("1", {"shot": "12a"}), video
    assert video.scheduler["deadline_at"] == video.created_at + 900, video.scheduler


@line("videos.create", "an open file, bytes and a data: URL are taken as input_reference")
def _(stage: Stage) -> None:
    with open(PNG, "rb") as image:
        data = image.read()
        image.seek(0)
        for reference in (image, ("first.png", data, "image/png")):
            stage.client.videos.create(**TINY, input_reference=reference)
    # The SDK's own types allow {"image_url": …} as input_reference, its code takes files only: so it goes beside them.
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    stage.client.videos.create(**{**TINY, "extra_body": {"input_reference": {"image_url": url}}})


@line("videos.create", "10 creates at once are 10 videos, each listed once")
def _(stage: Stage) -> None:
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        made = {video.id for video in pool.map(lambda _: stage.client.videos.create(**TINY), range(10))}
    listed = [video.id for video in stage.client.videos.list()]
    assert len(made) == 10 and sorted(listed) == sorted(made), (made, listed)


@line("videos.create", "a field that nobody knows, or a value that cannot be, is a BadRequestError that names it, asked once")
def _(stage: Stage) -> None:
    faults = [
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"size": "7x7"}, "invalid_value", "size"),
        ({"seconds": "abc"}, "invalid_value", "seconds"),
        ({"model": "sora-2"}, "unknown_model", "model"),
        ({"extra_body": {"fps": 60}}, "unknown_parameter", "fps"),
    ]
    for change, code, param in faults:
        refused(openai.BadRequestError, code, lambda: stage.client.videos.create(**{**TINY, **change}), param)
    assert len(stage.sent.calls("POST", VIDEOS)) == len(faults)


@line("videos.retrieve", "an unknown id and a foreign one are the same NotFoundError, asked once")
def _(stage: Stage) -> None:
    video = stage.client.videos.create(**TINY)
    stranger = stage.client_of(Stage().api_key)
    ids = [video.id, f"video_{'0' * 32}", "nonsense"]
    bodies = [refused(openai.NotFoundError, "video_not_found", lambda: stranger.videos.retrieve(i)).body for i in ids]
    assert bodies == [bodies[0]] * 3, bodies
    assert len([one for one in stage.sent.exchanges if one.request.method == "GET"]) == len(ids)


def pages_through(stage: Stage, order: str) -> None:
    made = [stage.client.videos.create(**TINY).id for _ in range(9)]
    expected = made if order == "asc" else made[::-1]
    seen: list = []
    for number, page in enumerate(stage.client.videos.list(limit=3, order=order).iter_pages()):
        seen += [video.id for video in page.data]
        if number == 0:
            # The very video that the next page starts after, and one of that page.
            stage.client.videos.delete(expected[2])
            stage.client.videos.delete(expected[4])
    assert seen == expected[:4] + expected[5:], (expected, seen)
    assert number == 2, number


@line("videos.list", "oldest first: three pages, with the cursor and a video ahead deleted in between, miss and repeat nothing")
def _(stage: Stage) -> None:
    pages_through(stage, "asc")


@line("videos.list", "newest first: the same")
def _(stage: Stage) -> None:
    pages_through(stage, "desc")


@line("videos.list", "an empty page has no last id and no next page")
def _(stage: Stage) -> None:
    page = stage.client.videos.list()
    assert (page.data, page.last_id, page.has_more, page.has_next_page()) == ([], None, False, False), page


@line("videos.delete", "a completed video and a running one are answered 'video.deleted' and are gone", tier="free")
def _(stage: Stage) -> None:
    running = stage.client.videos.create(**ENDLESS)
    stage.reaches(running.id, "in_progress")
    deleted = stage.client.videos.delete(running.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (running.id, "video.deleted", True), deleted
    # The tier runs one video at a time: that this one is completed says that the other has stopped.
    completed = stage.made()
    assert stage.client.videos.delete(completed.id).deleted
    for gone in (running.id, completed.id):
        refused(openai.NotFoundError, "video_not_found", lambda: stage.client.videos.retrieve(gone))


@line("videos.retrieve", "all 13 fields are there in every state: queued, in_progress, completed, failed, cancelled", tier="free")
def _(stage: Stage) -> None:
    running = stage.client.videos.create(**ENDLESS)
    late = stage.client.videos.create(**{**TINY, "extra_body": {"steps": 8, "start_deadline_seconds": 1}})
    states = [stage.client.videos.retrieve(late.id), stage.reaches(running.id, "in_progress"), stage.reaches(late.id, "failed")]
    stage.client.post(f"/videos/{running.id}/cancel", cast_to=object)
    states += [stage.reaches(running.id, "failed"), stage.made()]
    for video in states:
        has_all_fields(video)
    seen = [(video.status, video.error.code if video.error else None) for video in states]
    failures = [("failed", "start_deadline_exceeded"), ("failed", "cancelled")]
    assert seen == [("queued", None), ("in_progress", None), *failures, ("completed", None)], seen


@line("videos.download_content", "a 302 to another host is followed without the key (the redirect is the test's)")
def _(stage: Stage) -> None:
    path = f"{VIDEOS}/video_{'0' * 32}/content"
    with receiver() as (url, received, _came):
        stage.sent.faults.append(("GET", path, (302, {"location": f"{url}/signed"})))
        assert stage.client.videos.download_content(f"video_{'0' * 32}").read() == b"signed bytes"
    assert [headers.get("Authorization") for _path, headers, _body in received] == [None]


@line("videos.download_content", "a thumbnail is a WebP of one frame")
def _(stage: Stage) -> None:
    image = stage.client.videos.download_content(stage.made().id, variant="thumbnail").read()
    assert (image[:4], image[8:15]) == (b"RIFF", b"WEBPVP8"), image[:16]


@line("videos.download_content", "not ready is a ConflictError; a spritesheet is 'unsupported_operation'; each asked once")
def _(stage: Stage) -> None:
    video = stage.client.videos.create(**ENDLESS)
    refused(openai.ConflictError, "video_not_ready", lambda: stage.client.videos.download_content(video.id))
    sheet = lambda: stage.client.videos.download_content(video.id, variant="spritesheet")
    refused(openai.BadRequestError, "unsupported_operation", sheet, "variant")
    assert len(stage.sent.calls("GET", f"{VIDEOS}/{video.id}/content")) == 2


@line("videos.remix", "a new video that names its source; of one that is not completed: ConflictError; unknown: NotFoundError")
def _(stage: Stage) -> None:
    source = stage.made()
    remix = stage.client.videos.remix(source.id, prompt="the same fox in the rain")
    has_all_fields(remix)
    assert (remix.remixed_from_video_id, remix.size, remix.seconds) == (source.id, source.size, source.seconds), remix
    stage.reaches(remix.id, "completed")
    running = stage.client.videos.create(**ENDLESS)
    again = lambda video: lambda: stage.client.videos.remix(video, prompt="in the rain")
    refused(openai.ConflictError, "video_not_ready", again(running.id))
    refused(openai.NotFoundError, "video_not_found", again(f"video_{'0' * 32}"))


@line("videos.edit, extend, create_character, get_character", "clean 'unsupported_operation', also with an upload, asked once")
def _(stage: Stage) -> None:
    videos = stage.client.videos
    clip = ("clip.mp4", bytes(3_000_000), "video/mp4")
    calls = [
        lambda: videos.edit(prompt="in the rain", video=clip),
        lambda: videos.extend(prompt="on and on", seconds="4", video=clip),
        lambda: videos.create_character(name="fox", video=clip),
        lambda: videos.get_character("char_1"),
    ]
    for call in calls:
        refused(openai.BadRequestError, "unsupported_operation", call)
    assert len(stage.sent.exchanges) == len(calls)


@line("videos.create", "a 429 with retry-after-ms is retried and makes one video")
def _(stage: Stage) -> None:
    stage.sent.faults += [("POST", VIDEOS, (429, {"retry-after-ms": "10"}))] * 2
    video = stage.client.videos.create(**TINY)
    assert len(stage.sent.calls("POST", VIDEOS)) == 3
    assert [one.id for one in stage.client.videos.list()] == [video.id]


@line("videos.create", "a 402 says what was required and what is available, and is not retried; nor is a wrong key")
def _(_stage: Stage) -> None:
    poor = Stage(credits="0.01")
    error = refused(openai.APIStatusError, "insufficient_credits", lambda: poor.client.videos.create(**TINY))
    assert (error.status_code, error.body["available"]) == (402, "0.01") and float(error.body["required"]) > 0.01
    refused(openai.AuthenticationError, "invalid_api_key", lambda: poor.client_of("cs_dev_wrong").videos.create(**TINY))
    assert len(poor.sent.exchanges) == 2


@line(
    "videos.create",
    "a lost reply is retried by the SDK, and the retry is answered with the video that was made: one job",
)
def _(stage: Stage) -> None:
    stage.sent.faults.append(("POST", VIDEOS, None))
    video = stage.client.videos.create(**TINY)
    counts = [one.request.headers["x-stainless-retry-count"] for one in stage.sent.calls("POST", VIDEOS)]
    assert counts == ["0", "1"], counts
    assert [one.id for one in stage.client.videos.list()] == [video.id]


@line("webhooks.unwrap", "accepts ours; rejects a changed body, another secret and a message that is six minutes old")
def _(stage: Stage) -> None:
    with receiver() as (url, received, came):
        endpoint = stage.client.post("/webhook_endpoints", cast_to=object, body={"url": url})
        video = stage.client.videos.create(**TINY)
        assert came.wait(60), "the webhook did not come"
    _path, headers, body = received[0]
    secret = endpoint["secret"]
    event = stage.client.webhooks.unwrap(body, headers, secret=secret)
    assert (event.type, event.data.id) == ("video.completed", video.id), event
    old = signed(secret, "evt_1", int(time.time()) - 360, body)
    assert stage.client.webhooks.unwrap(body, signed(secret, "evt_1", int(time.time()), body), secret=secret)
    other = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    for text, head, key in ((body + " ", headers, secret), (body, headers, other), (body, old, secret)):
        try:
            stage.client.webhooks.unwrap(text, head, secret=key)
        except openai.InvalidWebhookSignatureError:
            continue
        raise AssertionError("a message that is not ours was accepted")


def judged(call: str, title: str, tier: str, pending: "str | None", check) -> dict:
    try:
        stage = Stage(tier)
        try:
            check(stage)
        finally:
            stage.close()
    except Exception as error:  # Whatever it is, it is this line's verdict.
        if pending is None:
            return {"call": call, "title": title, "verdict": "fail", "detail": f"{type(error).__name__}: {error}"}
        return {"call": call, "title": title, "verdict": "not yet", "detail": pending}
    if pending is None:
        return {"call": call, "title": title, "verdict": "pass", "detail": None}
    return {"call": call, "title": title, "verdict": "fail", "detail": f"passes, though it is marked as pending: {pending}"}


if __name__ == "__main__":
    sdk = f"openai {openai.__version__} (PyPI), Python {platform.python_version()}"
    print(sdk)
    rows = []
    for one in LINES:
        row = judged(*one)
        rows.append(row)
        print(f"{row['verdict']:<9}  {row['call']}: {row['title']}" + (f"\n{'':11}{row['detail']}" if row["detail"] else ""))
        sys.stdout.flush()
    if "CONFORMANCE_JSON" in os.environ:
        with open(os.environ["CONFORMANCE_JSON"], "w", encoding="utf-8") as out:
            json.dump({"name": "python", "sdk": sdk, "rows": rows}, out)
    sys.exit(any(row["verdict"] == "fail" for row in rows))
