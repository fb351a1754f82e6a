"""Guessing passwords takes long: after a few wrong ones each further try has to wait, and is told for how long.

Counted in the database, so that all processes count together, by address and by account. Every wait ends, and the
account's is short: whoever guesses at somebody's password must not be able to keep that person out. Nor does it hold
for an address from which the account has logged in before.
"""

import hashlib
import logging
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model

from integration_platform.models import LoginTally
from messages.database import write

log = logging.getLogger(__name__)

Kind = LoginTally.Kind
FREE = {Kind.ADDRESS: 20, Kind.ACCOUNT: 10}
"""Wrong passwords in a row that cost nothing; an office behind one address has many people."""
FIRST_WAIT = timedelta(seconds=5)
"""Each further wrong one doubles it …"""
LONGEST_WAIT = {Kind.ADDRESS: timedelta(minutes=15), Kind.ACCOUNT: timedelta(minutes=1)}
FORGOTTEN_AFTER = timedelta(hours=1)
"""Without another wrong one."""
KNOWN_FOR = timedelta(days=90)


def charge(username: str, network: str, *, now: datetime) -> timedelta | None:
    """Counts a try as a wrong one, before it is looked at: tries side by side are no way around.

    Returns how long to wait where this one must not be looked at; it is not counted then.
    """
    account = account_key(username)
    with write():  # a transaction of its own: old rows are locked in any order
        _forget(now)
    with write():
        known = LoginTally.objects.filter(kind=Kind.KNOWN, key=f"{account} {network}").exists()
        keys = {Kind.ADDRESS: network} if known else {Kind.ADDRESS: network, Kind.ACCOUNT: account}
        tallies = [_locked(kind, key, now) for kind, key in keys.items()]
        until = max((tally.blocked_until for tally in tallies if tally.blocked_until), default=now)
        if until > now:
            log.warning("A login from %s was not looked at: too many wrong passwords.", network)
            return until - now
        for tally in tallies:
            tally.failures += 1
            tally.blocked_until = _blocked_until(tally, now)
            tally.seen_at = now
            tally.save()
    return None


def succeeded(username: str, network: str, *, now: datetime) -> None:
    """Takes the charge back, forgets the wrong ones of the account, and remembers where it logged in from."""
    account = account_key(username)
    with write():
        tally = _locked(Kind.ADDRESS, network, now)
        tally.failures = max(0, tally.failures - 1)
        tally.blocked_until = None
        tally.save()
        LoginTally.objects.filter(kind=Kind.ACCOUNT, key=account).delete()
        LoginTally.objects.update_or_create(kind=Kind.KNOWN, key=f"{account} {network}", defaults={"seen_at": now})


def account_key(username: str) -> str:
    """The account's name; a hash where there is none, since people type their password there, too."""
    people = get_user_model()
    if people._default_manager.filter(**{people.USERNAME_FIELD: username}).exists():
        return username
    return hashlib.sha256(username.encode()).hexdigest()[:40]


def _blocked_until(tally: LoginTally, now: datetime) -> datetime | None:
    over = tally.failures - FREE[Kind(tally.kind)]
    if over <= 0:
        return None
    return now + min(FIRST_WAIT * 2 ** min(over - 1, 20), LONGEST_WAIT[Kind(tally.kind)])


def _locked(kind: str, key: str, now: datetime) -> LoginTally:
    """Who locks several begins with the address: nobody waits for somebody who waits for him."""
    return LoginTally.objects.select_for_update().get_or_create(kind=kind, key=key, defaults={"seen_at": now})[0]


def _forget(now: datetime) -> None:
    counted = LoginTally.objects.exclude(kind=Kind.KNOWN)
    counted.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()
    LoginTally.objects.filter(kind=Kind.KNOWN, seen_at__lt=now - KNOWN_FOR).delete()
