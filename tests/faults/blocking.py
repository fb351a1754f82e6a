"""Whether a process that has been stopped keeps others waiting: then its fault is theirs as well."""

import contextlib
from pathlib import Path

import psutil
import psycopg


def keeps_others_waiting(process: psutil.Process, folder: Path, postgresql: str | None) -> bool:
    """It was stopped inside a write transaction."""
    if postgresql is None:
        return _has_locked(process.pid, folder / "data" / "platform.sqlite3-shm")
    return _is_in_a_transaction(process, postgresql)


def _has_locked(pid: int, path: Path) -> bool:
    """`/proc/locks`: number, kind, mode, access, process, device and inode, from, to."""
    with contextlib.suppress(FileNotFoundError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "WRITE" in words and str(pid) in words and any(word.endswith(f":{inode}") for word in words):
                return True
    return False


def _is_in_a_transaction(process: psutil.Process, url: str) -> bool:
    """Also where nobody can tell."""
    try:
        ports = [one.laddr.port for one in process.net_connections("tcp") if one.raddr]
        with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE client_port = ANY(%s) AND state LIKE 'idle in trans%%'"
            (count,) = connection.execute(query, [ports]).fetchone() or (0,)
            return bool(count)
    except (psutil.NoSuchProcess, psycopg.Error):
        return True


def end_a_session(processes: list[psutil.Process], url: str, choice: float) -> int | None:
    """`pg_terminate_backend` of one of the platform's sessions, at `choice` of them; returns whose it was."""
    owners = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            owners |= {one.laddr.port: process.pid for one in process.net_connections("tcp") if one.raddr}
    with contextlib.suppress(psycopg.Error), psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        query = "SELECT client_port, pid FROM pg_stat_activity WHERE client_port = ANY(%s) ORDER BY pid"
        found = connection.execute(query, [list(owners)]).fetchall()
        if found:
            port, backend = found[int(choice * len(found))]
            connection.execute("SELECT pg_terminate_backend(%s)", [backend])
            return owners[port]
    return None
