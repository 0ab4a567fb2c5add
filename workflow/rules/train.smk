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
    conda:
        "../../environment.yml"
    threads: LAYOUT.config.threads
    resources:
        gpu=1,
        mem_mb=memory("pretrain"),
        runtime=minutes("pretrain"),
    params:
        labels=lambda wc: "" if wc.scope == "shared" else f"--labels {wc.scope[1:]}",
    shell:
        "lautum pretrain --task {wildcards.task} --objective {wildcards.objective} {params.labels}"
        " --seed {wildcards.seed} --key {wildcards.key} > {log} 2>&1"
