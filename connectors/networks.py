"""Which addresses may be called: everything public, nothing private unless listed, cloud metadata never."""

import ipaddress
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
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's host
        "192.0.0.192",  # Oracle
    )
)
# `is_global` calls some of these public, depending on Python's patch release; each one leads somewhere private or nowhere.
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
NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


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
    address, slash, rest = word.partition("/")
    if not slash and address.count(":") == 1:  # 127.0.0.1:9000
        address, _, port = address.partition(":")
    elif not slash and address.startswith("["):  # [::1]:9000
        address, _, port = address.partition("]")
        port = port.removeprefix(":")
    else:
        rest, _, port = rest.partition(":")
    address = address.strip("[]")
    try:
        network = ipaddress.ip_network(f"{address}/{rest}" if slash else address, strict=False)
        number = int(port) if port else None
        if number is not None and not 1 <= number <= 65535:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{word!r} is not a network with an optional port, such as 10.0.0.0/8 or 127.0.0.1/32:9000."
        ) from None
    return network, number


def refusal(address: Address, port: int, allowed: AllowedNetworks) -> str | None:
    """Why `address` may not be called, or None. IPv4 addresses inside IPv6 ones are judged as what they lead to."""
    inner = _inner(address)
    if address in METADATA or inner in METADATA:
        return f"{address} is a cloud metadata address"
    if allowed.allow(address, port) or (
        inner is not None and address.version == 6 and _is_mapped(address) and allowed.allow(inner, port)
    ):
        return None
    if inner is not None and not _is_mapped(address):
        return f"{address} leads through an address translation"
    if not is_public(inner or address):
        return f"{address} is a private address that OUTBOUND_ALLOWED_NETWORKS does not list"
    return None


def is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in network for network in NOT_PUBLIC)


def _is_mapped(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


def _inner(address: Address) -> Address | None:
    """The IPv4 address that a mapped, 6to4 or NAT64 address stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in SIX_TO_FOUR:
        return address.sixtofour
    if any(address in network for network in NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
