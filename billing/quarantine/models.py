"""Where Django looks for this app's models; they are defined with the others of the pipeline."""

from billing.models.quarantine import HeldRecord, Sighting

__all__ = ["HeldRecord", "Sighting"]
