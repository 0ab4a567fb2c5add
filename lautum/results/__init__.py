"""Finished runs: collected into a few files, compared by statistics, and, while hyper-parameters are selected, ranked.

May import `lautum.pipeline` and all below it.
"""
