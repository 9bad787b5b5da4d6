"""What is wrong with the universes file, as an import error in Airflow; the others have their DAGs.

(Airflow reads only files that mention both of these words.)
"""

from pipeline.settings import Settings
from pipeline.universes import load_universes

for error in load_universes(Settings().universes).wrong.values():
    raise error
