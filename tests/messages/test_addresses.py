import ipaddress
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from integration_platform.proxies import TrustedProxiesMiddleware
from messages.addresses import client_address, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),  # one customer has them all
        ("::ffff:198.51.100.7", "198.51.100.7"),  # so it comes from a server that listens on [::]
        ("", "unknown"),
    ],
)
def test_who_counts_as_one(address: str, network: str) -> None:
    assert network_of({"REMOTE_ADDR": address}) == network


@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        ("203.0.113.9:51234", "203.0.113.9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("2001:db8::9", "2001:db8::9"),
        ("2001:db8::443", "2001:db8::443"),
        ("203.0.113.9:port", "192.0.2.1"),
        ("203.0.113.9:", "192.0.2.1"),
        ("spoofed", "192.0.2.1"),
    ],
)
def test_caller_is_known_with_and_without_a_port(settings: Any, forwarded: str, caller: str) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("192.0.2.0/24")]

    assert client_address(RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)) == caller


@pytest.mark.parametrize("proxy", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_proxy_is_known_whatever_its_address_is_written_as(settings: Any, proxy: str) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("192.0.2.0/24")]
    http = RequestFactory().get("/", REMOTE_ADDR=proxy, HTTP_X_FORWARDED_FOR="203.0.113.9, ::ffff:192.0.2.2")

    TrustedProxiesMiddleware(lambda http: HttpResponse())(http)

    assert client_address(http) == "203.0.113.9"
