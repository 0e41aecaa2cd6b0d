"""A task calls a host outside of the cluster and goes on whether or not it answers, as usage statistics do.

Everything else about the run is right. The address is put in when the DAG folder is made: a host of the test's own,
never a real one.
"""

import socket
import sys

from dvc_pipeline import cli

HOST, PORT = "@OUTSIDE_HOST@", "@OUTSIDE_PORT@"

if sys.argv[1] == "modify":
    try:
        socket.create_connection((HOST, int(PORT)), timeout=3).close()
    except OSError as error:
        sys.stdout.write(f"modify: no statistics today: {error}\n")
sys.exit(cli.main())
