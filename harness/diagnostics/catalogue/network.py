"""Names, certificates, and what pods may not reach."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import TLS
from harness.diagnostics.causes import Cause, reason, said

NETWORK: Final = (
    Cause(
        code="DNS",
        what="a name cannot be resolved",
        do="see that the service exists under that name and that CoreDNS runs; names outside are not resolved offline",
        signs=(said(r"could not resolve host|temporary failure in name resolution|name or service not known"),),
    ),
    Cause(
        code="TLS",
        what="a certificate is not trusted",
        do="give the client the CA that signed it: GIT_SSL_CAINFO for Git, the system's bundle for downloads",
        signs=(said(TLS),),
    ),
    Cause(
        code="EGRESS_BLOCKED",
        what="a pod was kept from reaching something outside the cluster",
        do="allow the address in the settings, or keep the DAG to services of the cluster",
        signs=(reason("EgressBlocked"), said(r"no route to host|network is unreachable")),
    ),
)
