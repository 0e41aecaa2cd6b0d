"""DVC pointers, remote layouts and the three-way verdict. Pure functions over bytes where possible.

A run is judged in three steps: `Gatherer.snapshot` before it, `Gatherer.evidence` after it (both read the Git remote
and the bucket afresh, from outside), and `judge`, a pure function of the expectation and that evidence.
`write_verdict` puts the result into `verdict.json`.
"""

from harness.dvc.bucket import BotoStore, ObjectMissing, ObjectStore
from harness.dvc.dvcfile import PointerError
from harness.dvc.evidence import Astray, Evidence, Expectation, Reproduction, RivalPointer, Snapshot
from harness.dvc.gather import Gatherer
from harness.dvc.hashing import Digest, digest
from harness.dvc.pointer import Output, Pointer, parse_pointer
from harness.dvc.record import (
    SCHEMA_VERSION,
    ImageFacts,
    RunFacts,
    verdict_document,
    verdict_schema,
    write_verdict,
)
from harness.dvc.remote import Address, Remote, RemoteError, object_key, parse_config, parse_manifest
from harness.dvc.repository import Commit, Repository
from harness.dvc.reproduce import Dvc
from harness.dvc.rules import Check, Outcome
from harness.dvc.verdict import Verdict, decided, judge
from harness.gitaccess import GitAccess

__all__ = [
    "SCHEMA_VERSION",
    "Address",
    "Astray",
    "BotoStore",
    "Check",
    "Commit",
    "Digest",
    "Dvc",
    "Evidence",
    "Expectation",
    "Gatherer",
    "GitAccess",
    "ImageFacts",
    "ObjectMissing",
    "ObjectStore",
    "Outcome",
    "Output",
    "Pointer",
    "PointerError",
    "Remote",
    "RemoteError",
    "Repository",
    "Reproduction",
    "RivalPointer",
    "RunFacts",
    "Snapshot",
    "Verdict",
    "decided",
    "digest",
    "judge",
    "object_key",
    "parse_config",
    "parse_manifest",
    "parse_pointer",
    "verdict_document",
    "verdict_schema",
    "write_verdict",
]
