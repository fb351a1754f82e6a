from typing import Any

import connectors.models.fields
from django.db import migrations

from connectors import formats
from connectors.masking import hide


def hide_values(apps: Any, schema_editor: Any) -> None:
    """Values that are secret by their names leave the columns that are shown; those with placeholders stay."""
    for row in apps.get_model("connectors", "Endpoint")._base_manager.using(schema_editor.connection.alias).all():
        hidden = {}
        for column in ("headers", "query_parameters"):
            value = getattr(row, column) or {}
            shown, found = hide({name: text for name, text in value.items() if "{" not in text}, {})
            if found:
                hidden[column] = found
                setattr(row, column, {**value, **shown})
        if hidden:
            row.secret_values = formats.dump(hidden).decode()
        extra, found = hide((row.auth_parameters or {}).get("extra") or {}, {})
        if found and isinstance(row.auth_secrets, str):  # else it cannot be read
            row.auth_parameters = {**row.auth_parameters, "extra": extra}
            row.auth_secrets = formats.dump({**formats.parse(row.auth_secrets.encode()), "extra": found}).decode()
        row.save(update_fields=["headers", "query_parameters", "secret_values", "auth_parameters", "auth_secrets"])


class Migration(migrations.Migration):

    dependencies = [
        ('connectors', '0010_rate_limit'),
    ]

    operations = [
        migrations.AddField(
            model_name='endpoint',
            name='secret_values',
            field=connectors.models.fields.EncryptedTextField(blank=True, editable=False),
        ),
        migrations.RunPython(hide_values, migrations.RunPython.noop),
    ]
