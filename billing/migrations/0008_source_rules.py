from pathlib import Path

import billing.models.usage
import django.contrib.postgres.fields
import django.db.models.constraints
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / 'sql'


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0007_invoice_signatures'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalSourceRule',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('position', models.PositiveIntegerField(help_text='Rules are applied in this order.')),
                ('kind', models.CharField(choices=[('rename', 'Rename a field'), ('copy', 'Copy a field'), ('number', 'Read a text as a number'), ('text', 'Write a number as a text'), ('trim', 'Trim blanks'), ('lower', 'Lower case'), ('upper', 'Upper case'), ('strip_prefix', 'Strip a prefix'), ('strip_suffix', 'Strip a suffix'), ('rewrite', 'Rewrite by a pattern'), ('convert', 'Convert a unit'), ('default', 'Fill an absent field'), ('set', 'Set a value'), ('map_type', 'Map an event type'), ('hold', 'Hold for review'), ('discard', 'Discard')], max_length=12)),
                ('field', models.CharField(blank=True, help_text='subject, type, or data. and the way to a property: data.usage.tokens.', max_length=255)),
                ('value', models.CharField(blank=True, max_length=1000)),
                ('to', models.CharField(blank=True, max_length=1000)),
                ('factor', billing.models.usage.NumericField(blank=True, decimal_places=500, help_text='What the value is multiplied by, exactly.', max_digits=1000, null=True)),
                ('number_format', models.CharField(choices=[('point', '1,234.5'), ('comma', '1.234,5')], default='point', max_length=5)),
                ('when_type', models.CharField(blank=True, help_text='Only records of this type.', max_length=255, verbose_name='type')),
                ('when_subjects', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255), blank=True, default=list, help_text='Only where the subject is one of these, one a line. * stands for anything.', size=None, verbose_name='subjects')),
                ('when_field', models.CharField(blank=True, help_text='Only where this field ...', max_length=255, verbose_name='field')),
                ('when_values', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=1000), blank=True, default=list, help_text='... is one of these, one a line. * stands for anything.', size=None, verbose_name='is one of')),
                ('when_ignores_case', models.BooleanField(default=False, help_text='Compare subjects and the field without regard to upper and lower case.', verbose_name='ignore case')),
                ('occurs_from', models.DateTimeField(blank=True, help_text='Only what happened then or later.', null=True, verbose_name='from')),
                ('occurs_until', models.DateTimeField(blank=True, help_text='Only what happened before.', null=True, verbose_name='until')),
                ('is_active', models.BooleanField(default=True, help_text='Switched off, it stays here and does nothing.', verbose_name='active')),
                ('note', models.CharField(blank=True, help_text='Why there is this rule.', max_length=500)),
                ('proposal', models.BigIntegerField(blank=True, help_text='The approved proposal of the quarantine desk that it came from.', null=True)),
                ('proposed_by', models.CharField(blank=True, max_length=200)),
                ('approved_by', models.CharField(blank=True, max_length=200)),
                ('history_change_reason', models.TextField(blank=True, default='')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
            ],
            options={
                'verbose_name': 'historical source rule',
                'verbose_name_plural': 'historical source rules',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.SeparateDatabaseAndState(state_operations=[
        migrations.CreateModel(
            name='OriginalEvent',
            fields=[
                ('pk', models.CompositePrimaryKey('customer_id', 'occurred_at', 'key', 'position', blank=True, editable=False, primary_key=True, serialize=False)),
                ('customer_id', models.BigIntegerField()),
                ('occurred_at', models.DateTimeField()),
                ('key', models.UUIDField()),
                ('position', models.PositiveIntegerField()),
                ('type', models.TextField()),
                ('subject', models.TextField()),
                ('data', models.TextField(help_text='The JSON of the data, as it came.')),
                ('rules', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='The rules that changed it, in their order.', size=None)),
            ],
            options={
                'abstract': False,
            },
        ),
        ]),
        migrations.CreateModel(
            name='SourceRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField(help_text='Rules are applied in this order.')),
                ('kind', models.CharField(choices=[('rename', 'Rename a field'), ('copy', 'Copy a field'), ('number', 'Read a text as a number'), ('text', 'Write a number as a text'), ('trim', 'Trim blanks'), ('lower', 'Lower case'), ('upper', 'Upper case'), ('strip_prefix', 'Strip a prefix'), ('strip_suffix', 'Strip a suffix'), ('rewrite', 'Rewrite by a pattern'), ('convert', 'Convert a unit'), ('default', 'Fill an absent field'), ('set', 'Set a value'), ('map_type', 'Map an event type'), ('hold', 'Hold for review'), ('discard', 'Discard')], max_length=12)),
                ('field', models.CharField(blank=True, help_text='subject, type, or data. and the way to a property: data.usage.tokens.', max_length=255)),
                ('value', models.CharField(blank=True, max_length=1000)),
                ('to', models.CharField(blank=True, max_length=1000)),
                ('factor', billing.models.usage.NumericField(blank=True, decimal_places=500, help_text='What the value is multiplied by, exactly.', max_digits=1000, null=True)),
                ('number_format', models.CharField(choices=[('point', '1,234.5'), ('comma', '1.234,5')], default='point', max_length=5)),
                ('when_type', models.CharField(blank=True, help_text='Only records of this type.', max_length=255, verbose_name='type')),
                ('when_subjects', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255), blank=True, default=list, help_text='Only where the subject is one of these, one a line. * stands for anything.', size=None, verbose_name='subjects')),
                ('when_field', models.CharField(blank=True, help_text='Only where this field ...', max_length=255, verbose_name='field')),
                ('when_values', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=1000), blank=True, default=list, help_text='... is one of these, one a line. * stands for anything.', size=None, verbose_name='is one of')),
                ('when_ignores_case', models.BooleanField(default=False, help_text='Compare subjects and the field without regard to upper and lower case.', verbose_name='ignore case')),
                ('occurs_from', models.DateTimeField(blank=True, help_text='Only what happened then or later.', null=True, verbose_name='from')),
                ('occurs_until', models.DateTimeField(blank=True, help_text='Only what happened before.', null=True, verbose_name='until')),
                ('is_active', models.BooleanField(default=True, help_text='Switched off, it stays here and does nothing.', verbose_name='active')),
                ('note', models.CharField(blank=True, help_text='Why there is this rule.', max_length=500)),
                ('proposal', models.BigIntegerField(blank=True, help_text='The approved proposal of the quarantine desk that it came from.', null=True)),
                ('proposed_by', models.CharField(blank=True, max_length=200)),
                ('approved_by', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'ordering': ['source', 'position'],
            },
        ),
        migrations.AddField(
            model_name='historicalsource',
            name='cadence',
            field=models.DurationField(blank=True, help_text='How often it should report. Later than that, it is silent.', null=True),
        ),
        migrations.AddField(
            model_name='source',
            name='cadence',
            field=models.DurationField(blank=True, help_text='How often it should report. Later than that, it is silent.', null=True),
        ),
        migrations.AlterField(
            model_name='event',
            name='data',
            field=models.TextField(help_text="The JSON of the event's data, after the rules of its source."),
        ),
        migrations.AlterField(
            model_name='register',
            name='digest',
            field=models.UUIDField(help_text='BLAKE2b-16 of the canonical type, subject, time and data, as received.'),
        ),
        migrations.AddIndex(
            model_name='receiptcount',
            index=models.Index(fields=['source', 'id'], name='receipt_count_last_of_source'),
        ),
        migrations.AddField(
            model_name='historicalsourcerule',
            name='history_user',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='historicalsourcerule',
            name='source',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='billing.source'),
        ),
        migrations.AddField(
            model_name='sourcerule',
            name='source',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rules', to='billing.source'),
        ),
        migrations.AddConstraint(
            model_name='sourcerule',
            constraint=models.UniqueConstraint(deferrable=django.db.models.constraints.Deferrable['DEFERRED'], fields=('source', 'position'), name='rule_position'),
        ),
        migrations.AddConstraint(
            model_name='sourcerule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'discard'), _negated=True), models.Q(('proposal__isnull', False), models.Q(('proposed_by', ''), _negated=True), models.Q(('approved_by', ''), _negated=True), models.Q(('proposed_by', models.F('approved_by')), _negated=True)), _connector='OR'), name='discard_rule_has_two_persons', violation_error_message='What a rule discards, two persons have decided, on the quarantine desk.'),
        ),
        migrations.AddConstraint(
            model_name='sourcerule',
            constraint=models.CheckConstraint(condition=models.Q(('factor', None), models.Q(('factor', 0), _negated=True), _connector='OR'), name='rule_factor_is_not_zero'),
        ),
        run_sql_file(SQL / 'rules.sql'),
    ]
