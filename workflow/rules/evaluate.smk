# The only rule that opens a test set.


EVALUATED = (
    RESULTS
    / f"evaluated-{LAYOUT.config.evaluate.part}/{{task}}/{{method}}/n{{labels}}/{{key}}"
)


rule evaluate:
    input:
        unpack(evaluate_inputs),
    output:
        record=EVALUATED / "seed{seed}.json",
        predictions=EVALUATED / "seed{seed}.safetensors",
    log:
        log_of("evaluate", "{task}/{method}/n{labels}/{key}/seed{seed}"),
    benchmark:
        benchmark_of("evaluate", "{task}/{method}/n{labels}/{key}/seed{seed}")
    conda:
        "../../environment.yml"
    threads: LAYOUT.config.threads
    resources:
        mem_mb=memory("evaluate"),
        runtime=minutes("evaluate"),
    shell:
        "lautum evaluate --task {wildcards.task} --method {wildcards.method} --labels {wildcards.labels}"
        " --seed {wildcards.seed} --key {wildcards.key} > {log} 2>&1"
