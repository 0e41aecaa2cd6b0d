"""The settings of the target existing: nothing is allowed by default, and what cannot be is refused with its name."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.settings import TargetKind, resolve, settings_alone
from harness.targets import TARGETS
from harness.targets.existing.target import check_settings, own_name


def test_nothing_is_allowed_by_default() -> None:
    existing = settings_alone().existing
    assert (existing.context, existing.servers, existing.consent, existing.trust_node_images) == (
        None,
        (),
        False,
        False,
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERVERS", '["http://192.0.2.1"]', "existing.servers"),
        ("SERVERS", '["https://user@192.0.2.1"]', "existing.servers"),
        ("SERVERS", '["kind-mine"]', "existing.servers"),
        ("REGISTRY", "ecr", "existing.registry"),
        ("REGISTRY", "registry.example/team:1", "existing.registry"),
        ("MAX_LIFETIME", "25", "existing.max_lifetime"),
        ("CONTEXT", "", "existing.context"),
        ("TRUST", "yes", "existing.trust"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HARNESS_EXISTING__{name}", value)
    with pytest.raises(UsageError) as caught:
        resolve()
    assert [key for key in caught.value.evidence if key.startswith(said)]


def test_a_server_is_the_same_with_a_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_EXISTING__SERVERS", '["https://192.0.2.1:6443/"]')
    assert resolve().existing.servers == ("https://192.0.2.1:6443",)


def test_without_a_context_it_is_told_how_to_name_one() -> None:
    with pytest.raises(UsageError) as caught:
        check_settings(settings_alone(target=TargetKind.EXISTING))
    assert caught.value.evidence == {"existing.context": "--context, or HARNESS_EXISTING__CONTEXT"}


def test_two_contexts_never_share_a_name_and_a_command_line_means_the_very_context() -> None:
    contexts = ("kind-mine", "kind_mine", "KIND-mine", "arn:aws:eks:x:1:cluster/mine", "admin@mine", "a b")
    settings = [settings_alone(existing={"context": one}) for one in contexts]
    assert len({own_name(one) for one in settings}) == len(contexts)
    assert own_name(settings[0]) == "existing-kind-mine"
    assert TARGETS[TargetKind.EXISTING].flags(settings[-1]) == " --target existing --context 'a b'"
