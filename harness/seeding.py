"""The repository and the bucket prefix that a run starts from, made and put where the cluster's services have them."""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass
from pathlib import Path

from harness.foreign_git import ForeignGit
from harness.journal import expires_at
from harness.model import Seeded, Services
from harness.pipeline.inputs import Inputs
from harness.pipeline.seed import Seed, SeedPlan, build_seed
from harness.process import Runner
from harness.services import git, s3
from harness.services.git_remote import trailers
from harness.settings import Settings
from harness.timeline import Timeline
from harness.wait import Waiter


@dataclass(frozen=True, slots=True)
class Seeder:
    """Makes the repository and the bucket prefix of a run.

    Attributes:
        settings: Of the run.
        inputs: What it starts from.
        run_id: Stands in the prefix.
        scratch: Folder for what is made on the way.
        runner: Runs git.
        waiter: Waits for the Git server.
        foreign: The Git server of the reader's own; None where the harness brings one.
    """

    settings: Settings
    inputs: Inputs
    run_id: str
    scratch: Path
    runner: Runner
    waiter: Waiter
    foreign: ForeignGit | None = None

    def build(self, services: Services) -> Seed:
        """A fresh seed on disk, with a prefix of its own."""
        scratch = self.scratch / f"seed-{random.token_hex(4)}"
        scratch.mkdir()
        plan = SeedPlan(
            template=self.inputs.template,
            dags=self.inputs.dags,
            data=self.inputs.data,
            tracked_file=self.settings.tracked_file,
            bucket=services.s3.bucket,
            prefix=f"{services.s3.root}runs/{self.run_id}/{random.token_hex(3)}",
            branch=self.settings.policy.branch,
            trailers=trailers(self.run_id, expires_at()) if self.foreign is not None else {},
        )
        return build_seed(plan, scratch=scratch, runner=self.runner)

    def push(self, seed: Seed, services: Services) -> Seeded:
        """Make the repository what the seed is; on a server of the reader's own the run's branch. As it is there.

        Raises:
            EnvironmentFailed: The Git server does not answer or refused it.
        """
        if self.foreign is not None:
            return self.foreign.put(seed.bundle, seed.seeded)
        client = git.GitClient(services.git)
        try:
            client.wait_ready(self.waiter)
            client.reseed(seed.bundle)
        finally:
            client.close()
        return seed.seeded

    def put(self, seed: Seed, services: Services) -> None:
        """Put the seed's data where its pointer says."""
        client = s3.connect(services.s3)
        for key, path in seed.objects.items():
            with path.open("rb") as body:
                client.put_object(Bucket=services.s3.bucket, Key=key, Body=body)

    def fresh(self, services: Services, timeline: Timeline) -> Seeded:
        """Seed anew on an environment that is up.

        Raises:
            EnvironmentFailed: The Git server or the object store refused it.
        """
        seed = self.build(services)
        with timeline.phase("seeding"):
            seeded = self.push(seed, services)
            self.put(seed, services)
        return seeded
