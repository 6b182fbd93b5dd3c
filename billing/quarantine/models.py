"""Where Django looks for this app's models; they are defined with the others of the pipeline."""

from billing.models.quarantine import Estimate, HeldRecord, Proposal, ProposedRecord, Sighting

__all__ = ["Estimate", "HeldRecord", "Proposal", "ProposedRecord", "Sighting"]
