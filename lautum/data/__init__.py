"""Data sets: what they are, where their files come from, how they are read, which of their images carry labels, and
what becomes of an image before a network sees it.

May import what lies in `lautum` itself. Only `transforms` computes with torch.
"""
