"""Which addresses a script's requests may go to. Pure.

Requests leave from the operator's pods, beside what only these should reach. So some addresses are refused unless an
administrator allows them: this machine, the link it is on (where clouds answer with credentials), and the servers that
the operator itself uses. What counts is the address that is connected to, in whatever spelling it was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_REFUSED: Final = (
    ("this machine", ("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128")),
    ("link-local, where clouds hand out credentials", ("169.254.0.0/16", "fe80::/10")),
    # Of AWS by IPv6, of Alibaba and of Azure: not link-local, and answering to every pod all the same.
    ("the metadata service of a cloud", ("fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32")),
    ("no single host", ("224.0.0.0/4", "ff00::/8", "255.255.255.255/32")),
)
_BUILT_IN: Final = tuple((what, tuple(map(ip_network, networks))) for what, networks in _REFUSED)

# Addresses of IPv6 that stand for one of IPv4, and where in them it is: RFC 4291, 6052, 3056 and 4380.
_MAPPED: Final = tuple(map(ip_network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48")))
_SIX_TO_FOUR: Final = ip_network("2002::/16")

_ITEM = re.compile(r"(?:(?P<namespace>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)=)?(?P<what>[^\s=]+)")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[-a-z0-9_.]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Rule:
    """One item of a list: for a namespace, or for all; a network, or a host by name (``*.`` before it: those below)."""

    what: str
    namespace: str | None
    network: Network | None

    def covers(self, namespace: str, host: str, addresses: Iterable[Address]) -> bool:
        if self.namespace not in (None, namespace):
            return False
        if self.network is not None:
            return any(address in self.network for address in addresses)
        name = host.lower().rstrip(".")
        return name.endswith(self.what[1:]) if self.what.startswith("*.") else name == self.what


def rules(text: str) -> tuple[Rule, ...]:
    """A list as a setting holds it: ``10.0.0.0/8, *.example.org, shop=10.1.2.3``; of the namespace shop alone the last.

    Raises:
        ValueError: an item is neither a network, an address nor the name of a host.
    """
    return tuple(_rule(item) for item in re.split(r"[,\s]+", text) if item)


def _rule(item: str) -> Rule:
    found = _ITEM.fullmatch(item)
    what = found["what"].lower().rstrip(".") if found else ""
    try:
        return Rule(what, found["namespace"] if found else None, ip_network(what))
    except ValueError as error:
        if found and _HOST.fullmatch(what) and not what.replace(".", "").isdigit() and "/" not in what:
            return Rule(what, found["namespace"], None)
        raise ValueError(
            f"{item!r}: expected a network (10.0.0.0/8), an address, a host (api.example.org, *.example.org), or one "
            "of these for one namespace (shop=10.1.2.3)"
        ) from error


@dataclass(frozen=True, slots=True)
class Egress:
    """The rules of an installation. What an administrator says of a namespace comes before what he says of all, what he
    allows before what he denies, and both before what is refused anyway."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    def refusal(self, namespace: str, host: str, address: str, own: Collection[str] = ()) -> str | None:
        """Why nothing may be sent to an address that was found for a host; None if it may.

        ``own``: addresses of the servers that the operator itself uses.
        """
        meant = _meant(address)
        shown = address if host in (address, f"[{address}]") else f"{host} ({address})"
        for of_one in (True, False):
            for allowed, listed in ((True, self.allow), (False, self.deny)):
                for rule in listed:
                    if (rule.namespace is not None) is of_one and rule.covers(namespace, host, meant):
                        return None if allowed else f"{shown} is denied by {rule.what} (setting egressDeny)"
        for what, networks in _BUILT_IN:
            if any(each in network for each in meant for network in networks):
                return f"{shown} is {what}, which is refused unless it is allowed (setting egressAllow)"
        if {str(each) for each in meant} & {str(other) for known in own for other in _meant(known)}:
            return f"{shown} serves the operator itself, which is refused unless it is allowed (setting egressAllow)"
        return None


def _meant(address: str) -> tuple[Address, ...]:
    """An address, and the one of IPv4 that it stands for. Zones (``%eth0``) are of no account."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if any(parsed in network for network in _MAPPED):
            return parsed, IPv4Address(int(parsed) & 0xFFFFFFFF)
        if parsed in _SIX_TO_FOUR:
            return parsed, IPv4Address(int(parsed) >> 80 & 0xFFFFFFFF)
    return (parsed,)
