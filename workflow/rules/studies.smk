# Targets that need no data: `snakemake --profile local estimator_study theorem`, whatever the configuration.


rule estimator_study:
    output:
        [
            f"reports/estimator/{name}"
            for name in (
                "values.csv",
                "gradients.csv",
                "still.png",
                "moving.png",
                "index.html",
            )
        ],
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
        "reports/theorem/terms.csv",
        "reports/theorem/terms.png",
        "reports/theorem/index.html",
    log:
        log_of("studies", "theorem"),
    benchmark:
        benchmark_of("studies", "theorem")
    resources:
        mem_mb=memory("aggregate"),
        runtime=minutes("aggregate"),
    shell:
        "logged {log:q} python -m lautum.studies.theorem"
