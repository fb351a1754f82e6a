"""Networks: public addresses may be called, private ones if they are listed, cloud metadata never."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.networks import AllowedNetworks, refusal

NOTHING = AllowedNetworks()
EVERYTHING = AllowedNetworks.parse("0.0.0.0/0,::/0")


def judge(address, *, port=443, allowed=NOTHING):
    return refusal(ipaddress.ip_address(address), port, allowed)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "9.255.255.255",  # around 10.0.0.0/8
        "11.0.0.0",
        "100.63.255.255",  # around 100.64.0.0/10
        "100.128.0.0",
        "172.15.255.255",  # around 172.16.0.0/12
        "172.32.0.0",
        "192.167.255.255",  # around 192.168.0.0/16
        "192.169.0.0",
        "198.17.255.255",  # around 198.18.0.0/15
        "198.20.0.0",
        "223.255.255.255",  # below multicast
        "168.63.129.15",  # beside Azure's host
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",  # mapped: judged as 8.8.8.8
    ],
)
def test_public_address_may_be_called(address):
    assert judge(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # this host
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",  # carrier-grade NAT
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.1.1",  # link-local
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",  # IETF protocol assignments
        "192.0.0.9",  # "global" by the registry, and nothing to call
        "192.0.2.1",  # documentation
        "192.88.99.1",  # 6to4 relay
        "192.168.0.1",
        "198.18.0.1",  # benchmarking
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",  # multicast
        "239.255.255.255",
        "233.252.0.1",  # multicast that `is_global` calls public
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::ffff:127.0.0.1",  # mapped
        "::ffff:10.0.0.1",
        "::ffff:169.254.1.1",
        "::127.0.0.1",  # IPv4-compatible
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",  # IPv4-translated, `is_global` calls it public
        "64:ff9b::127.0.0.1",  # NAT64
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::a00:1",  # NAT64 of a local network
        "2002:7f00:1::1",  # 6to4 of 127.0.0.1
        "2002:808:808::1",
        "2001::1",  # Teredo
        "2001:20::1",  # ORCHIDv2
        "2001:db8::1",  # documentation
        "3fff::1",
        "5f00::1",  # segment routing
        "4000::1",  # outside 2000::/3: nobody's
        "100::1",  # discard
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",  # site-local
        "ff02::1",
        "ff0e::1",  # multicast of global scope
    ],
)
def test_private_address_is_refused(address):
    assert judge(address) is not None


@pytest.mark.parametrize(
    "address",
    [
        "0.1.2.3",
        "100.64.0.1",
        "192.0.0.9",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "::8.8.8.8",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "4000::1",
        "64:ff9b::8.8.8.8",
        "fe80::1",
        "fec0::1",
        "ff0e::1",
    ],
)
def test_special_address_is_refused_whatever_python_thinks_of_it(address, monkeypatch):
    """Its patch releases disagree about what is global."""
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)
    monkeypatch.setattr(ipaddress.IPv6Address, "is_global", True)
    monkeypatch.setattr(ipaddress.IPv4Address, "is_multicast", False)
    monkeypatch.setattr(ipaddress.IPv6Address, "is_multicast", False)

    assert judge(address) is not None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # AWS, Azure, Google, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS container credentials
        "169.254.170.23",  # AWS pod identity
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",  # Google by IPv6
        "fe80::a9fe:a9fe",  # OpenStack by IPv6
        "100.100.100.200",  # Alibaba
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "fd00:42::42",
        "168.63.129.16",  # Azure's host
        "192.0.0.192",  # Oracle
        "::ffff:169.254.169.254",  # mapped
        "::169.254.169.254",  # compatible
        "::ffff:0:169.254.169.254",  # translated
        "64:ff9b::169.254.169.254",  # NAT64
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",  # 6to4
        "::ffff:168.63.129.16",
        "fd00:ec2::254%1",  # a zone does not make it another address
    ],
)
def test_cloud_metadata_is_refused_even_if_listed(address):
    reason = judge(address, port=80, allowed=EVERYTHING)

    assert reason is not None
    assert "metadata" in reason


def test_listed_metadata_address_stays_closed():
    allowed = AllowedNetworks.parse("169.254.169.254/32,169.254.169.254:80")

    reason = judge("169.254.169.254", port=80, allowed=allowed)

    assert reason is not None


@pytest.mark.parametrize(
    ("listed", "address", "port", "open_"),
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "10.1.2.3", 65535, True),  # no port: every port
        ("10.0.0.0/8", "11.0.0.1", 80, True),  # public anyway
        ("10.0.0.0/8", "192.168.0.1", 80, False),
        ("127.0.0.1/32:9000", "127.0.0.1", 9000, True),
        ("127.0.0.1/32:9000", "127.0.0.1", 9001, False),  # another port
        ("127.0.0.1/32:9000", "127.0.0.2", 9000, False),  # another address
        ("127.0.0.1:9000,127.0.0.1:9001", "127.0.0.1", 9001, True),  # one entry for each port
        ("10.0.0.0/8", "::ffff:10.0.0.1", 80, True),  # mapped is the same address
        ("127.0.0.1:9000", "::ffff:127.0.0.1", 9001, False),
        ("::/0", "::ffff:10.0.0.1", 80, False),  # an IPv6 network does not open IPv4
        ("0.0.0.0/0", "::1", 80, False),
        ("[fd00::]/8:443", "fd12::1", 443, True),
        ("[fd00::]/8:443", "fd12::1", 80, False),
        ("::1", "::1", 80, True),
        ("10.0.0.0/8", "64:ff9b::a00:1", 80, False),  # what an address leads to opens nothing
        ("64:ff9b::/96", "64:ff9b::a00:1", 80, True),  # a network of IPv6 only names its NAT64 itself
        ("10.0.0.0/8", "2002:a00:1::1", 80, False),
        ("fe80::/10", "fe80::1%eth0", 80, True),
    ],
)
def test_listed_networks_open_what_they_name_and_nothing_else(listed, address, port, open_):
    reason = judge(address, port=port, allowed=AllowedNetworks.parse(listed))

    assert (reason is None) is open_


def test_reason_names_the_address_and_the_setting():
    reason = judge("10.0.0.1")

    assert reason is not None
    assert "10.0.0.1" in reason
    assert "OUTBOUND_ALLOWED_NETWORKS" in reason


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        (" , ,", []),
        ("10.0.0.0/8", [("10.0.0.0/8", None)]),
        ("10.1.2.3/8", [("10.0.0.0/8", None)]),  # host bits are forgiven
        ("127.0.0.1", [("127.0.0.1/32", None)]),
        ("127.0.0.1:9000", [("127.0.0.1/32", 9000)]),
        (" 10.0.0.0/8 , 127.0.0.1/32:1 ", [("10.0.0.0/8", None), ("127.0.0.1/32", 1)]),
        ("10.0.0.0/255.0.0.0:65535", [("10.0.0.0/8", 65535)]),
        ("::1", [("::1/128", None)]),
        ("[::1]", [("::1/128", None)]),
        ("[::1]:9000", [("::1/128", 9000)]),
        ("fd00::/8", [("fd00::/8", None)]),
        ("fd00::/8:443", [("fd00::/8", 443)]),
        ("[fd00::]/8:443", [("fd00::/8", 443)]),
    ],
)
def test_list_of_networks_is_read(text, entries):
    expected = tuple((ipaddress.ip_network(network), port) for network, port in entries)

    assert AllowedNetworks.parse(text).entries == expected


@pytest.mark.parametrize(
    "entry",
    [
        "localhost",  # names are not networks
        "10.0.0.0/33",
        "10.0.0/8",
        "10.0.0.0/",
        "10.0.0.0/8:",  # a forgotten port must not open all of them
        "127.0.0.1:",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:http",
        "10.0.0.0/8:+80",
        "10.0.0.0/8:٨٠",  # digits, but not ASCII ones
        "[::1]9000",
        "[::1",
        "fe80::1%eth0",
        "10.0.0.0-10.0.0.9",
        "10.0.0.0/8;127.0.0.1",
        "10.0.0.0/8 127.0.0.1",
        "http://127.0.0.1",
    ],
)
def test_bad_entry_is_named(entry):
    with pytest.raises(ValueError, match="is not a network") as caught:
        AllowedNetworks.parse(f"192.168.0.0/16,{entry},10.0.0.0/8")

    assert repr(entry) in str(caught.value)


@given(st.ip_addresses())
def test_nothing_is_called_that_python_calls_private(address):
    reason = refusal(address, 443, NOTHING)

    mapped = getattr(address, "ipv4_mapped", None)
    assert reason is not None or (mapped or address).is_global


@given(st.ip_addresses(v=4))
def test_mapped_address_is_judged_as_the_one_inside(address):
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")

    assert (refusal(mapped, 443, NOTHING) is None) == (refusal(address, 443, NOTHING) is None)
