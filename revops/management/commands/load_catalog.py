from revops.vocabulary.catalog_loading import load_catalog
from revops.vocabulary.commands import LoadingCommand
from revops.vocabulary.words import CatalogWords


class Command(LoadingCommand):
    help = "Loads sellers, sources, tax rates, features, meters and plans from a YAML or JSON file. Repeatable."
    asks = True
    words = CatalogWords
    load = staticmethod(load_catalog)
    publish_help = "Also publish the versions the file names; you stand for both persons."
