# The only rule that opens a test set.


def evaluate_inputs(wildcards):
    cell = cell_of(wildcards)
    network = LAYOUT.transferred(cell)
    pretrained = LAYOUT.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    files = {
        "network": network,
        "costs": [network.with_suffix(".json"), pretrained.with_suffix(".json")],
    }
    if LAYOUT.config.evaluate.part == "test":
        return files | {"images": LAYOUT.prepared(TASKS[cell.task].target, "test")}
    # Selecting hyper-parameters: images held out of the training set, named in the split.
    images = LAYOUT.prepared(TASKS[cell.task].target, "train")
    return files | {
        "images": images,
        "split": LAYOUT.split(cell.task, cell.labels, cell.seed),
    }


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
        runtime=RESOURCES["evaluate"].minutes,
    shell:
        "lautum evaluate --config {CONFIG} --task {wildcards.task} --method {wildcards.method} --labels {wildcards.labels}"
        " --seed {wildcards.seed} --key {wildcards.key} > {log} 2>&1"
