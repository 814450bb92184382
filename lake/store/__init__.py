"""Where bytes live, and how they move from hot to cold."""

import logging

# Losing a race for a commit is how writers take turns, and no warning: without a handler Python would print each on
# stderr. A program that sets up logging still gets them.
logging.getLogger("stamina").addHandler(logging.NullHandler())
