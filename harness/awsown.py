"""Where the harness's own sessions begin: this machine's AWS settings are of an account that is not ours."""

from __future__ import annotations

import os

import botocore.session


def own_core() -> botocore.session.Session:
    """A session of botocore's for boto3's, that reads no profile and neither of AWS's two files; keys are given to it.

    Neither boto3's default session nor one with keys of its own will do: both fail on an AWS_PROFILE that is not there.
    """
    core = botocore.session.Session()
    # Set below the session's own variables, of which one that is None gives way to the environment (botocore 1.43).
    settings = core.get_component("config_store")
    for name, value in (("profile", None), ("config_file", os.devnull), ("credentials_file", os.devnull)):
        settings.set_config_variable(name, value)
    return core
