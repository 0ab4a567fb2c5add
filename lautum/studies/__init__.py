"""Programs that stand by themselves and feed the documentation: Theorem 1 in a finite world, the estimator's bias, the
coverage of intervals, and what a training step costs. Each is run as `python -m lautum.studies.NAME`.

May import everything but `lautum.cli`; nothing imports them.
"""

from lautum.lazy import ship_matplotlib

ship_matplotlib()
