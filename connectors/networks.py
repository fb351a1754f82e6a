"""Which addresses may be called: everything public, nothing private unless listed, cloud metadata never."""

import ipaddress
import re
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS container credentials
        "169.254.170.23",  # AWS pod identity
        "fd00:ec2::254",  # AWS by IPv6
        "fd00:ec2::23",  # AWS pod identity by IPv6
        "fd20:ce::254",  # Google by IPv6
        "fe80::a9fe:a9fe",  # OpenStack by IPv6
        "100.100.100.200",  # Alibaba
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "fd00:42::42",  # Scaleway by IPv6
        "168.63.129.16",  # Azure's host
        "192.0.0.192",  # Oracle
    )
)
# `is_global` calls some of these public, depending on Python's patch release; each leads somewhere private or nowhere.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relay
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible, deprecated
        "100::/64",
        "2001::/23",  # Teredo, ORCHID and other special assignments
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, deprecated
        "ff00::/8",
    )
)
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is assigned to the public, RFC 4291 section 2.4
COMPATIBLE = ipaddress.ip_network("::/96")
TRANSLATED = ipaddress.ip_network("::ffff:0:0:0/96")  # RFC 2765
NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
SIX_TO_FOUR = ipaddress.ip_network("2002::/16")

# An IPv6 address has colons of its own: before a port it stands in brackets or has its prefix length.
ENTRY = re.compile(
    r"(?:\[(?P<bracketed>[0-9a-fA-F:.]+)\]|(?P<plain>[0-9.]+|[0-9a-fA-F:.]+))"
    r"(?P<prefix>/[0-9.]+)?(?::(?P<port>[0-9]{1,5}))?\Z"
)


@dataclass(frozen=True, slots=True)
class AllowedNetworks:
    """Private networks that endpoints may reach, each with one port or with all of them (None)."""

    entries: tuple[tuple[Network, int | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "AllowedNetworks":
        """Reads `10.0.0.0/8,127.0.0.1/32:9000,[fd00::]/8:443`. Raises ValueError that names the bad entry."""
        return cls(tuple(_entry(word.strip()) for word in text.split(",") if word.strip()))

    def allow(self, address: Address, port: int) -> bool:
        return any(address in network and allowed in (None, port) for network, allowed in self.entries)


def _entry(word: str) -> tuple[Network, int | None]:
    fault = ValueError(f"{word!r} is not a network with an optional port, such as 10.0.0.0/8 or 127.0.0.1/32:9000.")
    match = ENTRY.match(word)
    if match is None:
        raise fault
    address = match["bracketed"] or match["plain"]
    try:
        network = ipaddress.ip_network(f"{address}{match['prefix'] or ''}", strict=False)
    except ValueError:
        raise fault from None
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise fault
    return network, port


def refusal(address: Address, port: int, allowed: AllowedNetworks) -> str | None:
    """Why `address` may not be called, or None.

    An IPv4 address mapped into IPv6 is judged as what it is; other forms that hold one are refused unless listed, and
    never reach cloud metadata.
    """
    judged = _plain(address)
    inner = _inner(judged)
    if judged in METADATA or inner in METADATA:
        return f"{address} is a cloud metadata address"
    if allowed.allow(judged, port):
        return None
    if inner is not None:
        return f"{address} leads through an address translation"
    if not is_public(judged):
        return f"{address} is a private address that OUTBOUND_ALLOWED_NETWORKS does not list"
    return None


def is_public(address: Address) -> bool:
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in NOT_PUBLIC)


def _plain(address: Address) -> Address:
    """Without a zone, which would make `fd00:ec2::254%1` unequal to `fd00:ec2::254`; IPv4 out of a mapped address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))


def _inner(address: Address) -> Address | None:
    """The IPv4 address that a 6to4, NAT64, translated or compatible address stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in SIX_TO_FOUR:
        return address.sixtofour
    if any(address in network for network in (*NAT64, TRANSLATED)):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in COMPATIBLE and int(address) > 0xFFFF:  # below: ::, ::1
        return ipaddress.IPv4Address(int(address))
    return None
