import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connectors', '0009_call_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='application',
            name='requests_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='How many messages it may push, on all its routes together; what is more is answered with 429. Empty: any number.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000)]),
        ),
        migrations.AddField(
            model_name='application',
            name='spent_until',
            field=models.FloatField(default=0, editable=False),
        ),
    ]
