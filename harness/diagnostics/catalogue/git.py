"""Git: the server, its repository, its branch."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import ERROR, TLS
from harness.diagnostics.causes import Cause, said

# Databases and mail servers say "authentication failed for user", where Git names an address, and "invalid username or
# password" without the "remote:" that Git puts before a server's words; curl itself says "(22) The requested".
_GIT_AUTH: Final = (
    r"authentication failed for (?!user\b)|could not read (?:username|password)|terminal prompts disabled"
    r"|(?<!curl: \(22\) )the requested url returned error: 40[13]"
    r"|remote: (?:unauthorized|invalid username or (?:password|token))"
)
# In an error or a verdict the words stand behind the container's name, not in the place where they were seen.
_SYNC: Final = r"container git-sync[\w-]*: [^\n]*"
_NO_REF: Final = (
    r"couldn't find remote ref|remote branch \S+ not found|unknown revision|did not match any"
    r"|bad revision|not our ref|invalid or unknown ref|has no such branch"
)
_NO_REPOSITORY: Final = r"has no such repository|repository \S+ not found|the requested url returned error: 404"

GIT: Final = (
    Cause(
        code="GITSYNC_AUTH",
        what="git-sync may not read the repository",
        do="see user and token in the secret `git-credentials`: all four keys, and a token that may read",
        signs=(said(_GIT_AUTH, where=r"git-?sync"), said(rf"{_SYNC}(?:{_GIT_AUTH})", sources=ERROR)),
    ),
    Cause(
        code="GITSYNC_TLS",
        what="git-sync does not trust the Git server's certificate",
        do="give git-sync the server's CA: GIT_SSL_CAINFO, or GITSYNC_GIT_CONFIG=http.sslCAInfo:<path>",
        signs=(said(TLS, where=r"git-?sync"), said(rf"{_SYNC}(?:{TLS})", sources=ERROR)),
    ),
    Cause(
        code="GITSYNC_REF",
        what="git-sync does not find the branch, tag or commit",
        do="correct dags.gitSync.branch (with rev HEAD it goes before ref), or push the branch",
        signs=(said(_NO_REF, where=r"git-?sync"), said(rf"{_SYNC}(?:{_NO_REF})", sources=ERROR)),
    ),
    Cause(
        code="GITSYNC_REPO",
        what="git-sync does not find the repository",
        do="correct dags.gitSync.repo, or make the repository; some servers say so where the user may not read it",
        signs=(said(_NO_REPOSITORY, where=r"git-?sync"), said(rf"{_SYNC}(?:{_NO_REPOSITORY})", sources=ERROR)),
    ),
    Cause(
        code="GIT_CONFLICT",
        what="someone else pushed first, and the two versions do not go together",
        do="run the DAG again from the new tip; let only one run write a pointer at a time (max_active_runs=1)",
        survived=True,  # by a rebase
        signs=(
            said(r"conflict \((?:content|add/add|modify/delete)\)|error: could not apply [0-9a-f]{7}"),
            said(r"! \[rejected\][^\n]*\((?:fetch first|non-fast-forward)\)|updates were rejected because"),
            # The worker's own word (worker-image/dvc_pipeline/push.py): it looks before it pushes.
            said(r"another run versioned \S+ first"),
        ),
    ),
    Cause(
        code="GIT_REFUSED",
        what="the Git server refused the push",
        do="see the server's message: a protected branch or a hook; let the DAG's user push, or use a data branch",
        signs=(said(r"! \[remote rejected\]|hook declined|gh006|denying non-fast-forward"),),
    ),
    Cause(
        code="GIT_AUTH",
        what="the Git server does not accept the credentials",
        do="see user and token in the secret `git-credentials`; to push, the token needs the right to write",
        signs=(said(_GIT_AUTH),),
    ),
    Cause(
        code="GIT_OWNERSHIP",
        what="Git refuses a folder that another user owns",
        do="run all task containers as one UID with `fsGroup`, or set `safe.directory`",
        signs=(said(r"detected dubious ownership in repository"),),
    ),
    Cause(
        code="GIT_IDENTITY",
        what="Git does not know who commits",
        do="set GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL in the container",
        signs=(said(r"please tell me who you are|unable to auto-detect email address|empty ident name"),),
    ),
)
