import pytest

from messages.addresses import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),  # one customer has them all
        ("", "unknown"),
    ],
)
def test_who_counts_as_one(address: str, network: str) -> None:
    assert network_of({"REMOTE_ADDR": address}) == network
