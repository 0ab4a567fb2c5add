# The pre-transfer stage of the paper's Figure 1. It has no test file among its inputs.


rule pretrain:
    input:
        unpack(pretrain_inputs),
    output:
        network=RESULTS
        / "pretrained/{task}/{objective}/{scope}/{key}/seed{seed}.safetensors",
        cost=RESULTS / "pretrained/{task}/{objective}/{scope}/{key}/seed{seed}.json",
    log:
        log_of("pretrain", "{task}/{objective}/{scope}/{key}/seed{seed}"),
    benchmark:
        benchmark_of("pretrain", "{task}/{objective}/{scope}/{key}/seed{seed}")
    threads: LAYOUT.config.threads
    resources:
        gpu=1,
        mem_mb=memory("pretrain"),
        runtime=minutes("pretrain"),
    params:
        labels=lambda wc: [] if wc.scope == "shared" else ["--labels", wc.scope[1:]],
    shell:
        "logged {log:q} lautum pretrain --task {wildcards.task:q} --objective {wildcards.objective:q} {params.labels:q}"
        " --seed {wildcards.seed:q} --key {wildcards.key:q}"
