"""`python -m sidecar`: wiring only. Standard output belongs to the protocol, whatever libraries print goes to the log."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The runner decides when this ends; a Ctrl-C in the terminal is not for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # A step that hangs in a driver may never see that stdin closed.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    from .machine import settle
    from .server import Server
    from .wire import Speaker

    Server(settle(), sys.stdin, Speaker(events), sys.stderr).serve()


main()
