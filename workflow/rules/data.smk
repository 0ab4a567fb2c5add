# Data sets as prepared files, and the labelled subset of every seed.


rule prepare:
    output:
        train=LAYOUT.prepared("{dataset}", "train"),
        test=LAYOUT.prepared("{dataset}", "test"),
    log:
        log_of("prepare", "{dataset}"),
    benchmark:
        benchmark_of("prepare", "{dataset}")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory("prepare"),
        runtime=minutes("prepare"),
    shell:
        "lautum prepare {wildcards.dataset} > {log} 2>&1"


rule split:
    input:
        lambda wc: LAYOUT.prepared(TASKS[wc.task].target, "train"),
    output:
        RESULTS / "splits/{task}/n{labels}/{key}/seed{seed}.json",
    log:
        log_of("split", "{task}/n{labels}/{key}/seed{seed}"),
    benchmark:
        benchmark_of("split", "{task}/n{labels}/{key}/seed{seed}")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory("split"),
        runtime=minutes("split"),
    shell:
        "lautum split --task {wildcards.task} --labels {wildcards.labels} --seed {wildcards.seed}"
        " > {log} 2>&1"
