# The post-transfer stage and the evaluation of all cells that begin with one pre-training, in one job: importing torch takes
# as long as a short cell. Each cell keeps its own network, cost, record and predictions; the job makes those that are missing.


rule cells:
    input:
        unpack(cells_inputs),
    output:
        FINISHED / "{task}/{objective}/{scope}/{key}/seed{seed}-{cells}.json",
    log:
        log_of("cells", "{task}/{objective}/{scope}/{key}/seed{seed}-{cells}"),
    benchmark:
        benchmark_of("cells", "{task}/{objective}/{scope}/{key}/seed{seed}-{cells}")
    conda:
        "../../environment.yml"
    threads: LAYOUT.config.threads
    resources:
        gpu=1,
        mem_mb=lambda wc, attempt: attempt
        * max(RESOURCES[step].mem_mb for step in ("transfer", "evaluate")),
        runtime=lambda wc, attempt: attempt
        * len(batch_of(wc).cells)
        * sum(RESOURCES[step].minutes for step in ("transfer", "evaluate")),
    params:
        cells=lambda wc: [f"{c.method}:{c.labels}" for c in batch_of(wc).cells],
    shell:
        "lautum cells --task {wildcards.task} --seed {wildcards.seed} --key {wildcards.cells} {params.cells:q}"
        " > {log} 2>&1"
