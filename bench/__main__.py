"""`make bench`: every benchmark, or those named (`make bench ARGS="mapping"`)."""

import signal
import sys

from bench import admin, bulkhead, door, lanes, mapping, transport, wakeup

BENCHES = {
    "mapping": mapping.main,
    "transport": transport.main,
    "lanes": lanes.main,
    "door": door.main,
    "wakeup": wakeup.main,
    "bulkhead": bulkhead.main,
    "admin": admin.main,
}

if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in BENCHES]
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]}; choose from {', '.join(BENCHES)}.")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started is stopped
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
