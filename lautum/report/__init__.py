"""What a reader looks at: tables, figures in their one style, and the page that holds both.

May import `lautum.results` and all below it.
"""
