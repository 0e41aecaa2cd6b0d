"""Our HTTP servers send the end of an answer at once.

With Nagle's algorithm (RFC 896) the last small packet of an answer waits for the acknowledgement of the one before,
which a client delays by 40 ms (tcp(7), "TCP_NODELAY"): at every request of every git.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import harness.lookalike
import harness.services.apps


def handlers() -> Iterator[type[BaseHTTPRequestHandler]]:
    """Of connections that live on; others are closed behind each answer, which sends what is left."""
    for package in (harness.lookalike, harness.services.apps):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for _, one in inspect.getmembers(module, inspect.isclass):
                if issubclass(one, BaseHTTPRequestHandler) and one.__module__ == found.name:
                    yield one


def test_no_answer_waits_for_an_acknowledgement() -> None:
    lasting = [one for one in handlers() if one.protocol_version == "HTTP/1.1"]
    assert len(lasting) > 4
    assert [one for one in lasting if not one.disable_nagle_algorithm] == []
