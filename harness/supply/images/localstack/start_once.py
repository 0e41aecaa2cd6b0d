# ruff: noqa: INP001 - a file of a build context, not of a package
"""Start LocalStack once while its image is built, see that it serves S3, and stop it.

Exit code 0 when it answered and ended by itself on SIGTERM; otherwise the build fails with what the server said.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time

PORT = 24566
START_SECONDS = 120.0
STOP_SECONDS = 30.0


def serves() -> bool:
    """Whether S3 is up, by LocalStack's own word."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", "/_localstack/health")
        state = json.load(connection.getresponse())["services"].get("s3")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return bool(state == "running")


def main() -> int:
    """Start, look, stop."""
    environment = {
        **os.environ,
        "SERVICES": "s3,sts,iam",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{PORT}",
    }
    started = time.monotonic()
    server = subprocess.Popen([sys.executable, "-m", "localstack.runtime.main"], env=environment)
    while not serves():
        if time.monotonic() - started > START_SECONDS:
            server.kill()
            return _failed(f"LocalStack did not serve S3 within {START_SECONDS:.0f} s")
        try:
            code = server.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        return _failed(f"LocalStack ended with exit code {code} before it served")
    sys.stdout.write(f"LocalStack served S3 after {time.monotonic() - started:.1f} s\n")
    server.send_signal(signal.SIGTERM)
    try:
        return server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        return _failed(f"LocalStack did not end within {STOP_SECONDS:.0f} s of SIGTERM")


def _failed(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
