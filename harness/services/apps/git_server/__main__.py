"""`python3 -m git_server`: serve until SIGTERM or SIGINT.

Exit codes: 0 stopped by a signal with every request answered, 1 stopped with requests cut off, 2 wrong settings.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from .server import GitServer, log
from .settings import Settings, SettingsError


def main() -> int:
    """See the module's docstring."""
    try:
        settings = Settings.from_environment(os.environ)
        server = GitServer(settings)
    except (SettingsError, OSError) as error:
        print(f"git-server: {error}", file=sys.stderr)
        return 2

    def stop(_number: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever, which runs in the very thread that this handler interrupts.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    host, port = server.server_address[:2]
    log(event="serving", address=f"{host!s}:{port}", repositories=list(settings.repositories))
    server.serve_forever(poll_interval=0.1)
    server.socket.close()
    answered = server.drain()
    log(event="stopped", answered=answered)
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
