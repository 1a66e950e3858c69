"""Which IP addresses belong to the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_REFUSED_4 = [
    IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890; some clouds answer here about themselves
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    IPv4Network("168.63.129.16/32"),  # the host of an Azure machine (learn.microsoft.com, "What is IP 168.63.129.16")
]

_UNICAST_6 = IPv6Network("2000::/3")  # all assigned so far: IANA, "IPv6 Global Unicast Address Assignments"

_REFUSED_6 = [
    IPv6Network("2001::/23"),  # protocol assignments, RFC 2928; Teredo, RFC 4380, embeds an IPv4 address
    IPv6Network("2001:db8::/32"),  # documentation, RFC 3849
    IPv6Network("2002::/16"),  # 6to4, RFC 3056: embeds an IPv4 address
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
]

_ISATAP = {0x0000_5EFE, 0x0200_5EFE}  # the middle of an address that ends in an IPv4 address, RFC 5214


def is_public(address: str) -> bool:
    """Whether an IP address, given as text, is on the public internet, so that pictures may be fetched from it.

    IPv4: globally reachable by IANA's registry of special-purpose addresses, except multicast, reserved ranges and
    three that only look public. IPv6: global unicast, except ranges that embed an IPv4 address; this excludes mapped,
    compatible, translated (RFC 6052), link-local and site-local addresses. Anything that is not an IP address, or
    that names a network interface (`fe80::1%eth0`), is not public.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return _is_public_4(ip) if isinstance(ip, IPv4Address) else _is_public_6(ip)


def _is_public_4(ip: IPv4Address) -> bool:
    special = not ip.is_global or ip.is_multicast or ip.is_reserved
    return not special and not any(ip in network for network in _REFUSED_4)


def _is_public_6(ip: IPv6Address) -> bool:
    if ip.scope_id is not None or ip not in _UNICAST_6 or (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return False
    return not any(ip in network for network in _REFUSED_6)
