
import django.contrib.postgres.fields
import django.db.models.deletion
import revops.models
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('billing', '0002_usage_and_facts'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('prefix', models.CharField(editable=False, help_text='How the secret starts, to tell keys apart.', max_length=12)),
                ('secret_hash', models.CharField(editable=False, help_text='SHA-256, hexadecimal.', max_length=64, unique=True)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), default=list, size=None, validators=[revops.models.validate_scopes])),
                ('created_at', models.DateTimeField(editable=False)),
                ('created_by', models.CharField(blank=True, editable=False, max_length=200)),
                ('expires_at', models.DateTimeField(blank=True, help_text='Empty: never.', null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(editable=False, help_text='To the minute.', null=True)),
                ('source', models.ForeignKey(blank=True, db_column='source_key', help_text='The only source it may report for. Empty: any.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='api_keys', to='billing.source', to_field='key')),
            ],
            options={
                'verbose_name': 'API key',
                'verbose_name_plural': 'API keys',
            },
        ),
        migrations.CreateModel(
            name='HistoricalApiKey',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('prefix', models.CharField(editable=False, help_text='How the secret starts, to tell keys apart.', max_length=12)),
                ('secret_hash', models.CharField(db_index=True, editable=False, help_text='SHA-256, hexadecimal.', max_length=64)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), default=list, size=None, validators=[revops.models.validate_scopes])),
                ('created_at', models.DateTimeField(editable=False)),
                ('created_by', models.CharField(blank=True, editable=False, max_length=200)),
                ('expires_at', models.DateTimeField(blank=True, help_text='Empty: never.', null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(editable=False, help_text='To the minute.', null=True)),
                ('history_change_reason', models.TextField(blank=True, default='')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('source', models.ForeignKey(blank=True, db_column='source_key', db_constraint=False, help_text='The only source it may report for. Empty: any.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='billing.source', to_field='key')),
            ],
            options={
                'verbose_name': 'historical API key',
                'verbose_name_plural': 'historical API keys',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
    ]
