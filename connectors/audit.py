"""Who changed what, from what to what: entries of Django's own log, which every page shows as its history.

An entry's message is a sentence, or Django's list of what was added, changed and deleted, to which `values` is added:
{"Name": ["old", "new"]}. A secret is told as REPLACED, before and after.
"""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db.models import Manager, Model, QuerySet
from django.forms import BaseForm, Field, ModelChoiceField

from connectors import formats
from connectors.masking import SECRET, masked_url

REPLACED = "replaced"
LONGEST = 2_000
"""Characters of a value that are kept; a schema may have more."""
COMMAND_LINE = "command-line"

Values = dict[str, list[str] | str]


def record(row: Model, *, by: Any, text: str | list[Any], added: bool = False) -> None:
    """Keeps in the history of `row` who did what."""
    flag = ADDITION if added else CHANGE
    text = text.strip() if isinstance(text, str) else text
    LogEntry.objects.log_actions(by.pk, [row], flag, change_message=text, single_object=True)


def command_line() -> Any:
    """The account that stands for whoever may run commands on the machine. Nobody can log in with it."""
    people = get_user_model()
    account, made = people._default_manager.get_or_create(
        **{people.USERNAME_FIELD: COMMAND_LINE}, defaults={"is_active": False}
    )
    if made:
        account.set_unusable_password()
        account.save()
    return account


def changed(values: Mapping[str, tuple[Any, Any] | str]) -> list[Any]:
    """The message of a change: old and new value by name, or REPLACED."""
    told: Values = {
        name: pair if isinstance(pair, str) else [in_words(pair[0]), in_words(pair[1])] for name, pair in values.items()
    }
    return [{"changed": {"fields": list(told), "values": told}}]


def of_forms(form: Any, formsets: Any, *, add: bool) -> list[Any]:
    """What Django's pages tell of a saved form and what belongs to it, with old and new values."""
    told: list[Any] = [{"added": {}}] if add else []
    if not add and form.changed_data:
        told.append({"changed": _fields(form)})
    for formset in formsets or ():
        told += _of_formset(formset)
    return told


def entries_of(entry: LogEntry) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """An entry for people: sentences, each with (name, old, new) of what it changed; a secret has no old value."""
    try:
        parts = json.loads(entry.change_message) if entry.change_message.startswith("[") else None
    except ValueError:
        parts = None
    if not parts:
        return [(entry.get_change_message() or entry.get_action_flag_display(), [])]
    return [_entry(part, entry) for part in parts]


def _entry(part: dict[str, Any], entry: LogEntry) -> tuple[str, list[tuple[str, str, str]]]:
    values = next(iter(part.values())).get("values") or {}
    told = [(name, "", pair) if isinstance(pair, str) else (name, *pair) for name, pair in values.items()]
    alone = LogEntry(change_message=json.dumps([part]), action_flag=entry.action_flag)
    if not told:
        return alone.get_change_message() or entry.get_action_flag_display(), []
    about = part.get("changed", {})
    return (f"Changed {about['name']} “{about['object']}”" if about.get("name") else "Changed"), told


def _of_formset(formset: Any) -> list[Any]:
    forms = {id(form.instance): form for form in formset.forms}
    told: list[Any] = [{"added": _about(row)} for row in formset.new_objects]
    told += [{"changed": {**_about(row), **_fields(forms[id(row)])}} for row, _ in formset.changed_objects]
    return told + [{"deleted": _about(row)} for row in formset.deleted_objects]


def _about(row: Model) -> dict[str, str]:
    return {"name": str(row._meta.verbose_name), "object": str(row)}


def _fields(form: BaseForm) -> dict[str, Any]:
    values: Values = {}
    for name in form.changed_data:
        field = form.fields[name]
        label = str(form[name].label)
        if _is_secret(field):
            values[label] = REPLACED
        else:
            old, new = form.get_initial_for_field(field, name), form.cleaned_data.get(name)
            values[label] = [_in_form(field, old), _in_form(field, new)]
    return {"fields": list(values), "values": values}


def _is_secret(field: Field) -> bool:
    widget = field.widget
    return getattr(widget, "input_type", "") == "password" or getattr(widget, "is_secret", False)


def _in_form(field: Field, value: Any) -> str:
    """A reference is named; forms know only its key before a change."""
    is_key = value not in (None, "") and not isinstance(value, Model | QuerySet | list)
    if isinstance(field, ModelChoiceField) and is_key:
        queryset: Any = field.queryset
        value = queryset.filter(pk=value).first() or value
    return in_words(value)


def in_words(value: Any) -> str:
    """A value in one text, secrets among its names left out, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, QuerySet | Manager):
        value = list(value.all())
    if isinstance(value, list) and any(isinstance(one, Model) for one in value):
        return ", ".join(sorted(str(one) for one in value))[:LONGEST]
    if isinstance(value, dict | list):
        shown = (
            {name: REPLACED if _hides(name, one) else one for name, one in value.items()}
            if isinstance(value, dict)
            else value
        )
        return formats.dump(shown).decode()[:LONGEST]
    return masked_url(str(value))[:LONGEST] if str(value).startswith("http") else str(value)[:LONGEST]


def _hides(name: str, value: Any) -> bool:
    return isinstance(value, str) and SECRET.search(name) is not None
