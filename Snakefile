# The benchmark's graph: prepare -> split -> pretrain -> transfer -> evaluate -> collect -> tables, figures, report.
#   snakemake --profile local                                            the paper's grid on this machine (config/config.yaml)
#   snakemake --profile local --configfile config/quickstart.yaml        another campaign
#   snakemake --profile slurm                                            the same on a cluster
from snakemake.utils import min_version

min_version("9.18")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/aggregate.smk"


rule all:
    default_target: True
    input:
        FINAL_FILES,


onsuccess:
    print(f"\nDone. Open {FINAL_FILES[-1]}", file=sys.stderr)
