
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('revops', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Deed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('idempotency_key', models.CharField(max_length=200)),
                ('digest', models.CharField(help_text='SHA-256 of method, address and body.', max_length=64)),
                ('begun_at', models.DateTimeField()),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('answer', models.TextField(blank=True)),
                ('api_key', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deeds', to='revops.apikey')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('api_key', 'idempotency_key'), name='deed_once_per_key')],
            },
        ),
    ]
