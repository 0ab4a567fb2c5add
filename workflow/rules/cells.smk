# The post-transfer stage and the evaluation of all cells that begin with one pre-training, in one job: importing torch takes
# as long as a short cell. Each cell keeps its own network, cost, record and predictions; the job makes those that are missing.
# With `pretrainings_per_job` a job makes several pre-trainings and then all their cells; the rule pretrain has no jobs then.


rule cells:
    input:
        unpack(cells_inputs),
    output:
        FINISHED / "{batch}.json",
    log:
        log_of("cells", "{batch}"),
    benchmark:
        benchmark_of("cells", "{batch}")
    threads: LAYOUT.config.threads
    resources:
        gpu=1,
        mem_mb=memory(*CELL_STEPS),
        runtime=cells_minutes,
    params:
        options=cells_options,
    shell:
        "logged {log:q} lautum cells {params.options:q}"
