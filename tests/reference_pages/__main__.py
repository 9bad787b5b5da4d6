"""Write the parts of the documentation that are made from the code.

    python -m tests.reference_pages

`test_docs.py` holds that they are those of the code.
"""

from tests.reference_pages.parts import write

write()
