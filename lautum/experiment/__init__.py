"""The plan of a campaign: its configuration, the search that it may declare, what is checked before any job, and which
file every result goes to under which key. Nothing here computes with torch, reads data or writes a file.

May import `lautum.objectives` and all below it.
"""
