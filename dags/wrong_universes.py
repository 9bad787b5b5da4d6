"""What is wrong with the universes file, as an error of import; other entries have their DAGs."""

from pipeline.settings import Settings
from pipeline.universes import load_universes

for error in load_universes(Settings().universes).wrong.values():
    raise error
