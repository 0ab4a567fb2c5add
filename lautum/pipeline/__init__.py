"""The jobs of the graph, split, pretrain, transfer and evaluate; the record that a run leaves; and what keeps the files
whole: locks and `verify`.

May import `lautum.experiment` and all below it.
"""
