# Data sets as prepared files, and the labelled subset of every seed.

# By what their files are called: the name, and of what is not built in a part of a hash.
DATA_SETS = {
    LAYOUT.receipt_of_data(name).name: name for name in LAYOUT.config.catalogue.datasets
}
# Their files are no outputs: other campaigns may have the same folder, and Snakemake would take from them what they train on.
if workflow.is_main_process:
    try:
        for name in {
            name
            for task in LAYOUT.config.grid.tasks
            for name in (TASKS[task].source, TASKS[task].target)
        }:
            files = [LAYOUT.prepared(name, part) for part in ("train", "test")]
            receipt.follow(LAYOUT.receipt_of_data(name), files)
    except (LautumError, OSError) as error:
        raise said(error) from error


rule prepare:
    output:
        RESULTS / "prepared/{prepared}",
    log:
        log_of("prepare", "{prepared}"),
    benchmark:
        benchmark_of("prepare", "{prepared}")
    wildcard_constraints:
        prepared="|".join(map(re.escape, DATA_SETS)),
    priority: 1
    resources:
        mem_mb=memory("prepare"),
        runtime=minutes("prepare"),
    params:
        dataset=lambda wc: DATA_SETS[wc.prepared],
    shell:
        "logged {log:q} lautum prepare {params.dataset:q}"


rule split:
    input:
        lambda wc: prepared(TASKS[wc.task].target),
    output:
        RESULTS / "splits/{task}/n{labels}/{key}/seed{seed}.json",
    log:
        log_of("split", "{task}/n{labels}/{key}/seed{seed}"),
    benchmark:
        benchmark_of("split", "{task}/n{labels}/{key}/seed{seed}")
    priority: 1  # all training can start then; of what can, Snakemake starts first what reads most
    resources:
        mem_mb=memory("split"),
        runtime=minutes("split"),
    shell:
        "logged {log:q} lautum split --task {wildcards.task:q} --labels {wildcards.labels:q} --seed {wildcards.seed:q}"
