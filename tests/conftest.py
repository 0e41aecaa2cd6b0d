"""What every test relies on."""

from __future__ import annotations

import signal

# A shell without job control starts what it puts into the background with SIGINT ignored, and every program inherits
# that: programs that tests start and interrupt would never notice. So `make test &` is to be the same as `make test`.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
