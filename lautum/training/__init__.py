"""How a network is trained, whatever for: the loop and what it is handed, batches, networks, optimiser, device, and how
a stage is kept on disk and stopped.

May import `lautum.data` and what lies in `lautum` itself.
"""
