# From the records of all cells to what a reader looks at.

TABLES = ["accuracy", "differences", "claims", "power", "pretraining", "costs"]
COMPARED = any(
    set(pair) <= set(LAYOUT.config.grid.methods) for pair in LAYOUT.config.comparisons
)
FIGURES = ["answer"] * COMPARED + [
    f"{task}-{name}"
    for task in LAYOUT.config.grid.tasks
    for name in ["accuracy", "examples"]
    + ["pretrain"] * trained(task, LAYOUT.config.pretrain_settings)
    + ["transfer"] * trained(task, LAYOUT.config.transfer_settings)
    + ["differences", "power", "confusion"] * COMPARED
]
TABLE_FILES = expand(
    REPORT / "{table}.{suffix}", table=TABLES, suffix=["md", "csv", "tex"]
)
FIGURE_FILES = expand(
    REPORT / "{figure}.{suffix}", figure=FIGURES, suffix=["png", "pdf"]
)
if LAYOUT.config.universes:
    TABLE_FILES = expand(
        REPORT / "{table}.csv",
        table=["gains", "average", "shares", "joint"]
        + ["distances", "decomposition", "mechanism"],
    )
    FIGURE_FILES = expand(
        REPORT / "{figure}.{suffix}",
        figure=universes.figure_names(LAYOUT.config),
        suffix=["png", "pdf"],
    )
BUDGET_FILES = [REPORT / f"{task}-budget.png" for task in LAYOUT.config.grid.tasks]
PAGE_FILES = [REPORT / "card.json", REPORT / "index.html"]
# Made again in seconds from the collected files, so Snakemake may delete them. Not what was selected, which other configurations extend: its page stands for it.
FINAL_FILES = (
    [*BUDGET_FILES, *PAGE_FILES]
    if SELECTING
    else [*TABLE_FILES, *FIGURE_FILES, *PAGE_FILES]
)


# While selecting: which trials are good enough to be run with more seeds.
checkpoint rung:
    input:
        rung_receipts,
    output:
        selection.rung_file(LAYOUT, "{rung}"),
    log:
        log_of("rung", f"{LAYOUT.config.name}-{{rung}}"),
    resources:
        mem_mb=memory("aggregate"),
        runtime=minutes("aggregate"),
    shell:
        "logged {log:q} lautum rung {wildcards.rung:q}"


rule collect:
    input:
        receipts=all_receipts,
        examples=examples_inputs,
        config=config_files(CONFIG),
    output:
        COLLECTED,  # with what the page is made of: to Snakemake a newer file of the same content is the same
    log:
        log_of("collect", LAYOUT.config.name),
    resources:
        mem_mb=memory("aggregate"),
        runtime=minutes("aggregate"),
    params:
        sums=REPORT / "SHA256SUMS",
    shell:
        "logged {log:q} lautum collect --all && cat {params.sums:q} {input.config:q} > {output:q}"


if SELECTING:

    rule trials:
        input:
            COLLECTED,
            [
                selection.rung_file(LAYOUT, rung)
                for rung in range(1, len(selection.rungs(LAYOUT)))
            ],
        output:
            FINAL_FILES,
        log:
            log_of("trials", LAYOUT.config.name),
        resources:
            mem_mb=memory("aggregate"),
            runtime=minutes("aggregate"),
        shell:
            "logged {log:q} lautum trials"

    # `snakemake tune --configfile <a file with search>`: its trials, and the winners that a main grid extends.
    rule tune:
        input:
            FINAL_FILES,

else:

    rule report:
        input:
            COLLECTED,
        output:
            FINAL_FILES,
        log:
            log_of("report", LAYOUT.config.name),
        resources:
            mem_mb=memory("aggregate"),
            runtime=minutes("aggregate"),
        shell:
            "logged {log:q} lautum report"
