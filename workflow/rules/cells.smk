# The post-transfer stage and the evaluation of all cells that begin with one pre-training, in one job: importing torch takes
# as long as a short cell. Each cell keeps its own network, cost, record and predictions; the job makes those that are missing.
# With `pretrainings_per_job` a job makes several pre-trainings and then all their cells; the rule pretrain has no jobs then.


rule cells:
    input:
        unpack(cells_inputs),
    output:
        FINISHED / "{task}/{objective}/{scope}/{key}/seed{seed}-{cells}.json",
    log:
        log_of("cells", "{task}/{objective}/{scope}/{key}/seed{seed}-{cells}"),
    benchmark:
        benchmark_of("cells", "{task}/{objective}/{scope}/{key}/seed{seed}-{cells}")
    threads: LAYOUT.config.threads
    resources:
        gpu=1,
        mem_mb=lambda wc, attempt: attempt
        * max(RESOURCES[step].mem_mb for step in CELL_STEPS),
        runtime=lambda wc, attempt: attempt * cells_minutes(wc),
    params:
        cells=cells_params,
    shell:
        "logged {log:q} lautum cells --task {wildcards.task:q} --seed {wildcards.seed:q} --key {wildcards.cells:q}"
        " {params.cells:q}"
