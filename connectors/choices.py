"""The closed vocabularies of the configuration. Values are part of the configuration file's format."""

from django.db.models import TextChoices


class Scheme(TextChoices):
    """How an application proves who it is when it calls us."""

    API_KEY = "api_key", "API key"  # Authorization: Bearer KEY, or X-API-Key: KEY
    BASIC = "basic", "HTTP Basic"  # Authorization: Basic, user name and password
    HMAC = "hmac", "Signature (HMAC)"  # in a header of one's choice
    STANDARD_WEBHOOKS = "standard_webhooks", "Standard Webhooks"  # webhook-signature; Svix's names as well
    GITHUB = "github", "GitHub"  # X-Hub-Signature-256
    STRIPE = "stripe", "Stripe"  # Stripe-Signature
    SHOPIFY = "shopify", "Shopify"  # X-Shopify-Hmac-Sha256
    SLACK = "slack", "Slack"  # X-Slack-Signature


class Algorithm(TextChoices):
    SHA256 = "sha256", "SHA-256"
    SHA512 = "sha512", "SHA-512"


class Encoding(TextChoices):
    """How a signature is written."""

    HEX = "hex", "Hexadecimal"
    BASE64 = "base64", "Base64"


class EndpointAuth(TextChoices):
    """How we prove who we are when we call an application."""

    NONE = "none", "None"
    API_KEY = "api_key", "API key"  # in a header or in the query
    BEARER = "bearer", "Bearer token"
    BASIC = "basic", "HTTP Basic"
    OAUTH2 = "oauth2_client_credentials", "OAuth 2.0 client credentials"  # a bearer token of a token server
    HMAC = "hmac", "Signature (HMAC)"  # in a header of one's choice
    STANDARD_WEBHOOKS = "standard_webhooks", "Standard Webhooks"  # webhook-signature


class Method(TextChoices):
    POST = "POST", "POST"
    PUT = "PUT", "PUT"
    PATCH = "PATCH", "PATCH"
    DELETE = "DELETE", "DELETE"
    GET = "GET", "GET"


class Format(TextChoices):
    """What a mapping's output is sent as."""

    JSON = "json", "JSON"
    FORM = "form", "Form fields"  # application/x-www-form-urlencoded
    XML = "xml", "XML"  # the object's only key is the root element


class Pattern(TextChoices):
    """The two ways in which a source application may hand over a message."""

    ASYNC = "async", "Asynchronous"  # accepted at once, processed in the background, the result is fetched later
    SYNC = "sync", "Synchronous"  # the source waits for the destination's confirmation


class Patterns(TextChoices):
    """The patterns that a route allows, its default first."""

    ASYNC = "async", "Asynchronous only"
    SYNC = "sync", "Synchronous only"
    ASYNC_SYNC = "async,sync", "Both, asynchronous by default"
    SYNC_ASYNC = "sync,async", "Both, synchronous by default"


class Ordering(TextChoices):
    """Which messages of a route wait for each other."""

    KEY = "key", "By key"  # those with the same ordering key
    ROUTE = "route", "Whole route"  # all of them
    NONE = "none", "None"  # none: each message has a lane of its own


class OnFailure(TextChoices):
    """What a lane does behind an asynchronous message that cannot be delivered."""

    BLOCK = "block", "Block the lane until a person acts"
    SKIP = "skip", "Go on with the next message"


class OnUnknown(TextChoices):
    """What follows when a message was sent and no answer came: the destination may have it, or not."""

    RETRY = "retry", "Try again, with the same idempotency key"
    STOP = "stop", "Stop, and leave it to a person"


class OnDeadline(TextChoices):
    """What a synchronous caller is answered when the deadline passes."""

    TIMEOUT = "timeout", "504: a failed attempt is then final"
    ACCEPT = "accept", "202: the message goes on like an asynchronous one"


class Reply(TextChoices):
    """What a synchronous caller is answered after a delivery."""

    DOCUMENT = "document", "The result document"
    BODY = "body", "The destination's status and body"


class FieldType(TextChoices):
    """What a field row makes of its value. The empty value leaves it as it is."""

    STRING = "string", "Text"
    INTEGER = "integer", "Integer"
    NUMBER = "number", "Number"
    DECIMAL = "decimal", "Decimal (money)"
    BOOLEAN = "boolean", "Yes or no"
    DATE = "date", "Date"
    DATETIME = "datetime", "Date and time"
    JSON = "json", "JSON"


class RatePeriod(TextChoices):
    """Of an endpoint's rate."""

    SECOND = "second", "second"
    MINUTE = "minute", "minute"
    HOUR = "hour", "hour"
