"""When an object was stored, as a real S3 says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.dvc import Address, BotoStore, ObjectMissing

SECOND = timedelta(seconds=1)


def test_the_time_of_an_object_is_that_of_its_upload_and_never_later(s3: Any) -> None:
    s3.empty()
    store, before = BotoStore(s3.client), datetime.now(UTC)
    s3.put({"times/a": b"1"})
    after = datetime.now(UTC)
    for stored in (store.stored(Address("mlops", "times/a")), store.inventory("mlops").stored["times/a"]):
        assert before - SECOND < stored <= after


def test_each_version_has_a_time_of_its_own_and_what_is_not_there_has_none(s3: Any) -> None:
    store, put = BotoStore(s3.client), s3.client.put_object
    ids = [put(Bucket="versioned", Key="times/a", Body=data)["VersionId"] for data in (b"1", b"2")]
    first, second = (store.stored(Address("versioned", "times/a", version)) for version in ids)
    assert first <= second
    for missing in (Address("mlops", "times/none"), Address("none", "a"), Address("versioned", "times/a", "no-id")):
        with pytest.raises(ObjectMissing):
            store.stored(missing)
