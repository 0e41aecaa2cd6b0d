"""A Git server and an S3 server without a cluster, and what dvc recorded on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.mutations.local import local_site
from tests.mutations.recording import Recorded, record
from tests.mutations.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with local_site(tmp_path_factory.mktemp("site")) as local:
        yield local


@pytest.fixture(scope="module")
def recorded(site: Site) -> Mapping[str, Recorded]:
    return record(site, "faults")
