"""Servers that tests start as programs of their own, on the loopback, until the test is over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.wait import Waiter

_SECONDS = 60.0


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes to a log, and has ended when the block is left."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a listener on the loopback that hands each connection to `answer`, one after the other.

    Nobody accepts when the block is left. A thread that is left waiting in `accept` when its socket is closed may come
    back, in Linux, with a connection to whatever has that descriptor by then, such as the server of another test.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:  # nobody listens any more
                    return
                answer(peer)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which a mere close would not
            accepting.join()


@contextmanager
def s3_server(folder: Path, *, secret: str | None = None) -> Iterator[str]:
    """The URL of an S3 server (ministack) that has its data and its log in a folder, and answers.

    Args:
        folder: For all that it writes.
        secret: The secret key that it then asks of the access key "test"; by default it checks no signature.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "SERVICES": "s3",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "S3_DATA_DIR": str(folder / "s3"),
        # Where no container engine is: it would look for one.
        "DOCKER_HOST": f"unix://{folder}/none.sock",
        **({"AUTH": "true", "AWS_SECRET_ACCESS_KEY": secret} if secret is not None else {}),
    }
    # Its own command listens on every address; served this way it is on the loopback only.
    command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{port}"]
    log = folder / "s3.log"

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with started(command, environment, log) as server:
        Waiter().until(
            "the S3 server",
            answers,
            ready=bool,
            timeout=_SECONDS,
            failed=lambda _: log.read_text()[-500:] if server.poll() is not None else None,
            interval=0.1,
        )
        yield f"http://127.0.0.1:{port}"
