# The pre-transfer stage of the paper's Figure 1. It opens no test file, though what stands for a data set among its
# inputs stands for both of its files.


rule pretrain:
    input:
        unpack(pretrain_inputs),
    output:
        LAYOUT.receipt(RESULTS / "pretrained/{network}"),
    log:
        log_of("pretrain", "{network}"),
    benchmark:
        benchmark_of("pretrain", "{network}")
    threads: LAYOUT.config.threads
    resources:
        gpu=1,
        mem_mb=memory("pretrain"),
        runtime=minutes("pretrain"),
    params:
        options=pretrain_options,
    shell:
        "logged {log:q} lautum pretrain {params.options:q}"
