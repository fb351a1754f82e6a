"""The closed vocabularies of messages. Values are part of the public contract (section 6)."""

from django.db.models import TextChoices


class Status(TextChoices):
    """Where a message stands.

        queued ──► succeeded | failed | dead | cancelled
           │  ▲
           ▼  │ (every further attempt)
        retrying ──► the same ends;  failed, dead, cancelled ──► queued when a person retries

    "processing" is not stored: a message is being processed while it is the head of a lane under a running lease.
    So no crash can leave a message behind that claims to be in somebody's hand.
    """

    QUEUED = "queued", "Queued"  # intake: committed, waits its turn in its lane
    RETRYING = "retrying", "Retrying"  # lanes.finish: an attempt failed for a passing reason, the next is scheduled
    SUCCEEDED = "succeeded", "Succeeded"  # lanes.finish: the destination confirmed (2xx)
    FAILED = "failed", "Failed"  # lanes.finish: a permanent reason, or a sync call that failed
    DEAD = "dead", "Dead"  # lanes.finish: attempts used up, or permanent on a route that blocks
    CANCELLED = "cancelled", "Cancelled"  # operate: a person cancelled or skipped it


PROCESSING = "processing"  # what readers are told instead of queued or retrying while a lease runs on the head

OPEN_STATUSES = (Status.QUEUED, Status.RETRYING)
FINAL_STATUSES = (Status.SUCCEEDED, Status.FAILED, Status.DEAD, Status.CANCELLED)


class Hold(TextChoices):
    """Why a lane stands still although it may have work."""

    NONE = "", "None"  # it does not
    PAUSED = "paused", "Paused"  # operate.pause_lane: a person said so
    BLOCKED = "blocked", "Blocked"  # lanes.finish: its head is dead, and the route blocks


class OutcomeKind(TextChoices):
    """What came out of one attempt."""

    SUCCEEDED = "succeeded", "Succeeded"  # 2xx
    REFUSED = "refused", "Refused by the destination"  # permanent: 3xx and most 4xx
    FAILED = "failed", "Failed in passing"  # passing: 5xx, 408, 425, 429, time-outs, connections
    UNKNOWN = "unknown", "Sent, no answer"  # passing or permanent, as the route says: the destination may have it
    MAPPING_FAILED = "mapping_failed", "Mapping failed"  # permanent: nothing was sent
    NOT_SENT = "not_sent", "Could not be sent"  # permanent: the address or the request is not allowed
    CRASHED = "crashed", "Worker died"  # the worker died several times in a row on this message


class CircuitState(TextChoices):
    """Whether the calls of an endpoint flow.

    closed ──► open ──► half-open ──► closed;  half-open ──► open when the try failed;  any ──► closed by a person.
    """

    CLOSED = "closed", "Closed"  # circuits.settle, circuits.close: calls flow
    OPEN = "open", "Open"  # circuits.count: too many calls failed; messages wait until `retry_at`
    HALF_OPEN = "half_open", "Half-open"  # circuits.take_probe: one call is out, the others wait for what comes of it


class Standstill(TextChoices):
    """Why messages are not sent although nothing is wrong with them. Values are part of the metrics."""

    ROUTE_PAUSED = "route-paused", "route paused"  # a person said so
    ENDPOINT_PAUSED = "endpoint-paused", "endpoint paused"  # a person said so
    UNUSABLE = "unusable", "cannot be sent"  # its endpoint cannot work as it is configured
    CIRCUIT_OPEN = "circuit-open", "circuit open"  # circuits.count: too many calls failed
    LIMIT_REACHED = "limit-reached", "limit reached"  # limits.room: as many calls as the endpoint allows


class BulkVerb(TextChoices):
    """What can be done to many messages at once."""

    RETRY = "retry", "Retry"
    CANCEL = "cancel", "Cancel"


class BulkState(TextChoices):
    """collecting ──► prepared ──► running ──► finished;  collecting, prepared, running ──► stopped."""

    COLLECTING = "collecting", "Collecting"  # bulk.prepare: its messages are being written down
    PREPARED = "prepared", "Prepared"  # bulk.prepare: a person is to confirm it
    RUNNING = "running", "Running"  # bulk.start: confirmed, the queue works it
    FINISHED = "finished", "Finished"  # bulk.work: nothing is left
    STOPPED = "stopped", "Stopped"  # bulk.stop: a person stopped it, or nobody confirmed it


class ItemState(TextChoices):
    WAITING = "waiting", "Waiting"
    DONE = "done", "Done"
    REFUSED = "refused", "Not possible"
