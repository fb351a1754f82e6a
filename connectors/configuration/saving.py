"""One row after the other: compared with what is stored, checked by its model, saved, and told in its history."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError

from connectors import audit, formats
from connectors.configuration.reading import Section, Unset
from connectors.paths import MISSING

RETRY_KEYS = ("max_attempts", "first_delay_seconds", "factor", "max_delay_seconds")
CIRCUIT_KEYS = ("enabled", "failure_share", "minimum_calls", "window_seconds", "open_seconds")


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object: created, changed or unchanged; `detail` names what changed, never a value.

    `advice` is what saving it warns about, in sentences.
    """

    action: str
    kind: str
    slug: str
    detail: str = ""
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.slug}{f' ({self.detail})' if self.detail else ''}"


class Saving:
    """What the sections of one file share: which slugs it names, what became of each object, and by whom.

    With `by` somebody is named in the history of what was created or changed; without, nothing is written there.
    """

    def __init__(self, by: Any) -> None:
        self.changes: list[Change] = []
        self.named: dict[str, set[str]] = {}
        self._by = by

    def each(self, kind: str, sections: list[Section]) -> list[Section]:
        """All but those whose slug another one has; remembers the slugs, so that one fault is not reported twice."""
        slugs = self.named.setdefault(kind, set())
        found = []
        for section in sections:
            slug = section.text("slug", required=True)
            if slug in slugs:
                section.fault("slug", f"{slug!r} occurs twice")
            else:
                slugs.update({slug} - {""})
                found.append(section)
        return found

    def reference(self, section: Section, key: str, kind: str, model: Any, *, required: bool) -> Any:
        """The row that a slug names; None if there is none, a fault unless it is in this file and faulty itself."""
        slug = section.text(key, required=required)
        found = model.objects.filter(slug=slug).first() if slug else None
        if slug and found is None and slug not in self.named.get(kind, ()):
            section.fault(key, f"there is no {kind} {slug!r}")
        return found

    def save(
        self, kind: str, section: Section, row: Any, values: dict[str, Any], *, slug: str = "", told: Any = None
    ) -> Change | None:
        """Saves a row whose attributes differ, after the model's own checks; their faults get the file's paths.

        `told` has the old and new value of what the caller puts into the row; without them it is a secret.

        A value MISSING marks what the caller puts into the row. Returns None where the row, or one that it rests on, is
        faulty; what is absent has been reported by then.
        """
        new = row.pk is None
        changed = [] if new else [key for key, value in values.items() if differs(getattr(row, key, None), value)]
        old = {name: getattr(row, name, None) for name in changed}
        for name, value in values.items():
            if value is not MISSING:
                setattr(row, name, value)
        absent = {name for name in _OWNERS if getattr(row, f"{name}_id", 0) is None}
        absent.update({"slug"} if getattr(row, "slug", None) == "" else ())
        try:
            row.full_clean(exclude=absent, validate_unique=new and not absent, validate_constraints=not absent)
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                for message in messages:
                    section.fault(_KEYS.get(name, name), message)
            return None
        if absent:
            return None
        if new or changed:
            row.save()
            if self._by is not None:
                audit.record(row, by=self._by, text=_told(changed, old, values, told or {}), added=new)
        action = "created" if new else "changed" if changed else "unchanged"
        detail = ", ".join(_KEYS.get(name, name) for name in changed)
        self.changes.append(Change(action, kind, slug or row.slug, detail))
        return self.changes[-1]


_SECRET = ("tls_key", "secret_values")
_OWNERS = ("application", "source", "endpoint")
_KEYS = {
    **{f"tls_{name}": f"tls.{name}" for name in ("ca", "certificate", "key")},
    "query_parameters": "query",
    **{name: f"retry.{name}" for name in RETRY_KEYS},
    **{f"circuit_{name}": f"circuit.{name}" for name in CIRCUIT_KEYS},
    **{f"rate_{name}": f"rate.{name}" for name in ("calls", "per")},
    "__all__": "",
}


def _told(changed: list[str], old: dict[str, Any], new: dict[str, Any], told: dict[str, Any]) -> list[Any]:
    """The history's entry; of what is a secret, that it was replaced."""
    if not changed:
        return [{"added": {}}]
    hidden = {name for name in changed if name in _SECRET or new[name] is MISSING}
    pairs = {name: audit.REPLACED if name in hidden else (old[name], new[name]) for name in changed}
    return audit.changed({_KEYS.get(name, name): told.get(name, pair) for name, pair in pairs.items()})


def find(model: Callable[..., Any], **by: Any) -> Any:
    return model.objects.filter(**by).first() or model(**by)  # type: ignore[attr-defined]


def differs(old: Any, new: Any) -> bool:
    """Structures are compared as they are written: 19.90 and 19.9 are the same number and not the same digits."""
    if isinstance(new, dict | list) and isinstance(old, dict | list):
        return formats.dump(old) != formats.dump(new)
    return new is MISSING or bool(old != new)


def missing_secret(given: Unset | None) -> str:
    return f"the environment variable {given.name} is not set, and no secret is stored" if given else "it is required"
