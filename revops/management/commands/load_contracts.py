from revops.vocabulary.commands import LoadingCommand
from revops.vocabulary.contract_loading import load_contracts
from revops.vocabulary.words import ContractsWords


class Command(LoadingCommand):
    help = "Loads customers and contracts from a YAML or JSON file. Repeatable."
    words = ContractsWords
    load = staticmethod(load_contracts)
    publish_help = "Also approve the contracts, and amend approved ones; you stand for both persons."
