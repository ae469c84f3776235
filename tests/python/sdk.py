"""The official Python SDK, unmodified, against a running stack: OPENAI_BASE_URL and OPENAI_API_KEY say which."""

import os
import sys

import openai

client = openai.OpenAI()
TINY = {"prompt": "a red fox in the snow", "size": "320x192", "seconds": "1"}


def create_and_poll_completes() -> None:
    video = client.videos.create_and_poll(**TINY)
    assert (video.status, video.progress) == ("completed", 100), video
    content = client.videos.download_content(video.id).read()
    assert content[4:8] == b"ftyp", content[:16]
    assert client.videos.delete(video.id).deleted
    expect(openai.NotFoundError, "video_not_found", lambda: client.videos.retrieve(video.id))


def list_pages_through_everything() -> None:
    made = [client.videos.create(**TINY).id for _ in range(3)]
    listed = [video.id for video in client.videos.list(limit=1, order="desc")]
    assert listed[:3] == list(reversed(made)), (made, listed)


def bad_input_names_its_parameter() -> None:
    for field, value in [("prompt", ""), ("size", "7x7"), ("seconds", "abc")]:
        error = expect(openai.BadRequestError, None, lambda: client.videos.create(**{**TINY, field: value}))
        assert error.param == field, error.body
    stranger = openai.OpenAI(api_key="cs_dev_wrong")
    expect(openai.AuthenticationError, "invalid_api_key", lambda: stranger.videos.list())


def expect(kind: type, code: "str | None", call) -> openai.APIStatusError:
    try:
        call()
    except kind as error:
        assert code is None or error.code == code, error.body
        return error
    raise AssertionError(f"expected {kind.__name__}")


CHECKS = [create_and_poll_completes, list_pages_through_everything, bad_input_names_its_parameter]

if __name__ == "__main__":
    print(f"openai {openai.__version__} against {os.environ['OPENAI_BASE_URL']}")
    for check in CHECKS:
        check()
        print(f"ok  {check.__name__.replace('_', ' ')}")
    sys.stdout.flush()
