"""One connection to a port of a pod, through the API server: what `kubectl port-forward` makes for each of its own.

The protocol is the kubelet's over a web socket (v4.channel.k8s.io): each message begins with the number of its channel,
0 for data and 1 for what went wrong, and the first message of either is the port (kubernetes,
staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go). The client's own `PortForward` (kubernetes
37.0.1) is not used: its thread ends on a connection that is reset and leaves whoever reads from it waiting for ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from kubernetes import client
from websocket import WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

from harness.kubeclient import KubeUnavailable, drop

_DATA, _ERROR = 0, 1
# Opcodes of RFC 6455, section 5.2.
_BINARY, _CLOSE = 2, 8
_PORT_BYTES: Final = 2
_SEND_SECONDS: Final = 30.0
# A socket can be readable for what is no data (TLS renews its keys): then the other direction must not wait for long.
_RECEIVE_SECONDS: Final = 0.5
_BROKEN: Final = (WebSocketException, OSError)


def connect(open_session: Callable[[], Any], port: int) -> PortStream:
    """A connection.

    Args:
        open_session: Has the client open a web socket.
        port: Of the pod.

    Raises:
        ApiException: The server refused it; with its status and its words, which the client (kubernetes 37.0.1,
            `websocket_call`) leaves in the exception below its own.
    """
    try:
        return PortStream(open_session(), port)
    except client.ApiException as error:
        below = error.__context__
        if not isinstance(below, WebSocketBadStatusException):
            raise
        said = (below.resp_body or b"").decode("utf-8", errors="replace")
        raise client.ApiException(status=below.status_code, reason=str(below.status_code), body=said) from error


@dataclass(slots=True)
class PortStream:
    """The open connection; for one thread.

    Attributes:
        session: Of the client (a `WSClient`).
        port: Of the pod.
    """

    session: Any
    port: int
    _begun: set[int] = field(default_factory=set)

    def fileno(self) -> int:
        """For a selector: it can be read when there is something to `receive`, or when `pending` says so."""
        return int(self.session.sock.sock.fileno())

    @property
    def pending(self) -> bool:
        """Whether something has been read off the network already, of which a selector does not know."""
        inner = self.session.sock.sock
        return isinstance(inner, ssl.SSLSocket) and inner.pending() > 0

    def send(self, data: bytes) -> None:
        """Send to the pod.

        Raises:
            KubeUnavailable: The connection is broken.
        """
        try:
            self.session.sock.settimeout(_SEND_SECONDS)
            self.session.sock.send_binary(bytes([_DATA]) + data)
        except _BROKEN as error:
            raise self._broken(error) from error

    def receive(self) -> bytes | None:
        """What the pod sent: empty where there is nothing for us as yet, None once the other side has closed.

        Raises:
            KubeUnavailable: The connection is broken, or the kubelet says what went wrong.
        """
        try:
            self.session.sock.settimeout(_RECEIVE_SECONDS)
            opcode, message = self.session.sock.recv_data(control_frame=True)
        except WebSocketTimeoutException:
            return b""  # what has come of a message is kept by the client
        except _BROKEN as error:
            raise self._broken(error) from error
        if opcode == _CLOSE:
            return None
        return self._data(bytes(message)) if opcode == _BINARY and message else b""

    def _data(self, message: bytes) -> bytes:
        channel, data = message[0], message[1:]
        if channel not in self._begun:
            self._begun.add(channel)
            data = data[_PORT_BYTES:]
        if channel == _ERROR and data:
            said = data.decode("utf-8", errors="replace").strip()
            raise KubeUnavailable(f"port {self.port} of the pod cannot be reached: {said}", status=0)
        return data if channel == _DATA else b""

    def close(self) -> None:
        """Hang up."""
        drop(self.session)

    def _broken(self, error: Exception) -> KubeUnavailable:
        return KubeUnavailable(f"the connection to port {self.port} of the pod broke off: {error}", status=0)
