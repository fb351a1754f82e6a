from messages.models.allowance import Allowance
from messages.models.attempt import Attempt
from messages.models.bulk import Bulk, BulkItem
from messages.models.circuit import Circuit
from messages.models.hourly_count import HourlyCount
from messages.models.lane import Lane
from messages.models.message import Message
from messages.models.rejection import Rejection
from messages.models.result import Result
from messages.models.saved_view import SavedView
from messages.models.search_key import SearchKey
from messages.models.worker import Worker

__all__ = [
    "Allowance",
    "Attempt",
    "Bulk",
    "BulkItem",
    "Circuit",
    "HourlyCount",
    "Lane",
    "Message",
    "Rejection",
    "Result",
    "SavedView",
    "SearchKey",
    "Worker",
]
