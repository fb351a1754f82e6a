"""Django's log has no index by which the history of one object is found; verbs in bulk leave many entries."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("integration_platform", "0001_login_tally"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX log_entry_by_object ON django_admin_log (object_id, content_type_id)",
            "DROP INDEX log_entry_by_object",
        ),
    ]
