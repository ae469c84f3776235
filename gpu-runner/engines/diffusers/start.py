"""The sidecar's program: `python start.py [--gpu N] [--shelf-bytes N]`. Wiring only.

Standard output belongs to the protocol; whatever libraries print goes to the log on standard error.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    asked = arguments()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The runner decides when this ends; a Ctrl-C in the terminal is not for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # A step that hangs in a driver may never see that stdin closed.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if asked.gpu is not None:
        see_only(asked.gpu)

    # Torch looks at the environment when it is imported.
    from sidecar.machine import settle
    from sidecar.server import Server
    from sidecar.shelf import Shelf
    from sidecar.wire import Speaker

    # What the libraries are made of never goes, and looking through all of it would take longer than moving a small model.
    gc.freeze()
    Server(settle(), Shelf(asked.shelf_bytes), sys.stdin, Speaker(events), sys.stderr).serve()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--gpu", type=natural, help="the only GPU that it sees; else all")
    parser.add_argument("--shelf-bytes", type=natural, default=0, help="main memory for models that were put aside")
    return parser.parse_args()


def natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(f"{number} is less than 0")
    return number


def see_only(gpu: int) -> None:
    """Of the GPUs that the operator lets us see, if that is said."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu) if visible is None else visible.split(",")[gpu].strip()


if __name__ == "__main__":
    main()
