from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_source_rules")]

    operations = [
        migrations.AddIndex("invoice", models.Index(fields=["issued_at"], name="invoice_issued")),
        migrations.AddIndex(
            "invoice",
            models.Index(fields=["voided_at"], condition=models.Q(("voided_at__isnull", False)), name="invoice_voided"),
        ),
    ]
