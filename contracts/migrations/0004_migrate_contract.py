from django.db import migrations

PERMISSIONS = [
    ("submit_contract", "Can submit a contract for approval"),
    ("approve_contract", "Can approve a contract"),
    ("amend_contract", "Can amend a contract"),
    ("end_contract", "Can end a contract"),
    ("migrate_contract", "Can move contracts to another version of their plan"),
]


class Migration(migrations.Migration):
    dependencies = [("contracts", "0003_terms_of_every_kind")]

    operations = [migrations.AlterModelOptions(name="contract", options={"permissions": PERMISSIONS})]
