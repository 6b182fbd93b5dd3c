"""What was used: events with their labels and invoice lines, meters over time, the next invoices."""

from __future__ import annotations

from revops.api.door import Door
from revops.models import Scope


class EventList(Door):
    scopes = {"GET": Scope.USAGE_READ}
