"""The sidecar's program: `python start.py [GPU]`. Wiring only.

Standard output belongs to the protocol; whatever libraries print goes to the log on standard error.
"""

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
    if len(sys.argv) > 1:
        see_only(int(sys.argv[1]))

    # Torch looks at the environment when it is imported.
    from sidecar.machine import settle
    from sidecar.server import Server
    from sidecar.wire import Speaker

    Server(settle(), sys.stdin, Speaker(events), sys.stderr).serve()


def see_only(gpu: int) -> None:
    """Of the GPUs that the operator lets us see, if that is said."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu) if visible is None else visible.split(",")[gpu].strip()


if __name__ == "__main__":
    main()
