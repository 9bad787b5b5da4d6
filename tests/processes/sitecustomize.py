"""What Python imports first in every process that a test starts: garbage is looked for less often.

A fifth of the time that Airflow's imports take went into looking through what they make.
"""

import gc

gc.set_threshold(50_000, 20, 100)
