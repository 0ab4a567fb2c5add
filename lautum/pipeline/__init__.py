"""The jobs of the graph: `split`, `train` (pre-transfer), and `cells`, which trains and evaluates what begins with one
pre-training; the record that a run leaves; and what keeps the files whole: locks, receipts and `verify`.

May import `lautum.experiment` and all below it.
"""
