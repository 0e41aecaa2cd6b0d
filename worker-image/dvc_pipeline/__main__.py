"""`python -m dvc_pipeline`, the same as `dvc-pipeline`."""

import sys

from dvc_pipeline.cli import main

sys.exit(main())
