"""The control: the pipeline as it is, by the way in which the mutants are run. It must be green."""

import sys

from dvc_pipeline import cli

sys.exit(cli.main())
