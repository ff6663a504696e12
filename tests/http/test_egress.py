"""Where the requests of scripts may go."""

import pytest

from workflow_operator.http import Egress, rules

OWN = ["10.96.0.1", "fd12::7"]


def refusal(address: str, *, host: str = "", namespace: str = "shop", allow: str = "", deny: str = "") -> str | None:
    return Egress(rules(allow), rules(deny)).refusal(namespace, host or address, address, OWN)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "this machine"),
        ("127.255.1.2", "this machine"),
        ("0.0.0.0", "this machine"),
        ("::1", "this machine"),
        ("::", "this machine"),
        ("::ffff:127.0.0.1", "this machine"),
        ("::ffff:7f00:1", "this machine"),
        ("::127.0.0.1", "this machine"),
        ("64:ff9b::7f00:1", "this machine"),
        ("2002:7f00:1::", "this machine"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("224.0.0.1", "no single host"),
        ("ff02::1", "no single host"),
        ("255.255.255.255", "no single host"),
        ("10.96.0.1", "serves the operator itself"),
        ("::ffff:10.96.0.1", "serves the operator itself"),
        ("fd12::7", "serves the operator itself"),
        ("FD12:0::7", "serves the operator itself"),
    ],
)
def test_what_is_refused_anyway(address: str, why: str) -> None:
    said = refusal(address)
    assert said is not None
    assert why in said
    assert address in said
    assert "egressAllow" in said


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "2001:db8::1", "fd00::1"])
def test_services_in_the_cluster_and_the_world_are_reached(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    ("allow", "deny", "passes"),
    [
        ("10.0.0.5", "10.0.0.0/8", True),
        ("", "10.0.0.0/8", False),
        ("", "10.0.0.4", True),
        ("", "::ffff:10.0.0.0/104", True),
        ("api.example.org", "0.0.0.0/0", True),
        ("*.example.org", "0.0.0.0/0 ::/0", True),
        ("example.org", "0.0.0.0/0", False),
        ("*.api.example.org", "0.0.0.0/0", False),
        ("", "api.example.org", False),
        ("", "API.Example.org.", False),
        ("shop=10.0.0.5", "0.0.0.0/0", True),
        ("other=10.0.0.5", "0.0.0.0/0", False),
        ("10.0.0.0/8", "shop=10.0.0.5", False),
        ("10.0.0.0/8", "other=10.0.0.5", True),
        ("shop=10.0.0.5/32", "shop=10.0.0.0/8", True),
    ],
)
def test_what_an_administrator_says(allow: str, deny: str, passes: bool) -> None:
    said = refusal("10.0.0.5", host="api.example.org", allow=allow, deny=deny)
    assert (said is None) is passes
    assert said is None or "egressDeny" in said


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.96.0.1", "::1"])
def test_what_is_refused_anyway_may_be_allowed(address: str) -> None:
    assert refusal(address, allow=f"{address}, 1.1.1.1") is None
    assert refusal(address, allow=f"other={address}") is not None


def test_a_name_that_is_allowed_is_trusted_wherever_it_leads() -> None:
    assert refusal("127.0.0.1", host="metrics.local", allow="metrics.local") is None


@pytest.mark.parametrize(
    "item", ["10.0.0.0/33", "10.0.0", "a b=c=d", "=10.0.0.0/8", "http://a", "a/8", "1.2.3.4/24", "*."]
)
def test_what_is_no_rule_is_named(item: str) -> None:
    with pytest.raises(ValueError, match="expected a network"):
        rules(item)


def test_a_list_may_be_empty_and_spaced_as_one_likes() -> None:
    assert rules("") == rules(" , ") == ()
    assert [rule.what for rule in rules(" a.org,10.0.0.0/8\n*.b.org ")] == ["a.org", "10.0.0.0/8", "*.b.org"]
