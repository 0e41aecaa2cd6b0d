"""The generated client (apache-airflow-client), loaded at the first use of a name of it.

Its package imports every model of the API, which takes as long as all else that `harness --help` loads; most commands,
and every usage error, end before Airflow is asked anything. Its names are `Any` here: what it answers is checked in
`values.py`, by documents and not by types.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("airflow_client.client"), name)
