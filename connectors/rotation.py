"""All stored secrets under the first of ENCRYPTION_KEYS, so that an old key can be thrown away."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.apps import apps
from django.db.models import ExpressionWrapper, F, Model, QuerySet, TextField, Value

from connectors.models.fields import DecryptionFailed, EncryptedTextField, encrypted_anew


@dataclass(slots=True)
class Rotation:
    """How many secrets were encrypted anew or were under the first key already, and the places that no key opens."""

    rotated: int = 0
    already: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate_secrets() -> Rotation:
    """One secret a statement: whoever interrupts it loses nothing, and it goes on where it is run again.

    It changes no plain value, so the configuration's revision stands still.
    """
    rotation = Rotation()
    for model, name in _secret_fields():
        stored = ExpressionWrapper(F(name), output_field=TextField())  # as it lies there, not decrypted
        rows = QuerySet(model).annotate(stored=stored)
        for pk, token in rows.exclude(stored="").order_by("pk").values_list("pk", "stored"):
            try:
                anew = encrypted_anew(token)
            except DecryptionFailed:
                rotation.unreadable.append(f"{model._meta.verbose_name} {pk}, {name}")
                continue
            if anew is None:
                rotation.already += 1
            else:  # unless somebody has stored another secret meanwhile
                unchanged = rows.filter(pk=pk, stored=token)
                rotation.rotated += unchanged.update(**{name: Value(anew, output_field=TextField())})
    return rotation


def _secret_fields() -> Iterator[tuple[type[Model], str]]:
    for model in apps.get_models():
        for one in model._meta.concrete_fields:
            if isinstance(one, EncryptedTextField):
                yield model, one.name
