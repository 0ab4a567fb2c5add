"""What a reader looks at: tables, figures in their one style, and pages that hold both.

`tables` and `table_text` compute and word tables; `figures`, `training_figures` and `selection_figures` draw in
`style`, and `svg` puts figures into pages; `page` is the frame of every page, `answers` its words. What a page shows
stands in a module for each kind: `campaign_page` of runs, `selection_page` of trials, `index_page` of all. A further
kind is a further module, which hands `page.write` a card and sections.

May import `lautum.results` and all below it.
"""
