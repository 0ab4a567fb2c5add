# Targets that need no data: `snakemake --profile local estimator_study theorem`, whatever the configuration. Their files under reports are
# committed, so they are no outputs, which Snakemake deletes when a job fails.
STUDIES = {
    "estimator": [
        "values.csv",
        "gradients.csv",
        "still.png",
        "moving.png",
        "index.html",
    ],
    "theorem": ["terms.csv", "terms.png", "index.html"],
}
if workflow.is_main_process:
    try:
        for study, names in STUDIES.items():
            files = [Path("reports") / study / name for name in names]
            receipt.withdraw(RESULTS / "studies" / study, files)
    except (LautumError, OSError) as error:
        raise said(error) from error


rule estimator_study:
    output:
        touch(RESULTS / "studies/estimator"),
    log:
        log_of("studies", "estimator"),
    benchmark:
        benchmark_of("studies", "estimator")
    resources:
        mem_mb=memory("aggregate"),
        runtime=minutes("aggregate"),
    shell:
        "logged {log:q} python -m lautum.studies.estimator"


rule theorem:
    output:
        touch(RESULTS / "studies/theorem"),
    log:
        log_of("studies", "theorem"),
    benchmark:
        benchmark_of("studies", "theorem")
    resources:
        mem_mb=memory("aggregate"),
        runtime=minutes("aggregate"),
    shell:
        "logged {log:q} python -m lautum.studies.theorem"
