"""The clone's URL is logged with user and password in it, as a debugging line that was forgotten."""

import os
import sys
import urllib.parse

from dvc_pipeline import cli

if sys.argv[1] == "pull":
    user, password = (urllib.parse.quote(os.environ[f"GIT_SYNC_{part}"], safe="") for part in ("USERNAME", "PASSWORD"))
    where = os.environ["GIT_REPO"].replace("://", f"://{user}:{password}@")
    sys.stdout.write(f"pull: cloning {where}\n")
sys.exit(cli.main())
