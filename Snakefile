# The benchmark's graph: prepare -> split -> pretrain -> cells (transfer, evaluate) -> collect -> report (tables, figures).
#   snakemake --profile local                                            the paper's grid on this machine (config/config.yaml)
#   snakemake --profile local --configfile config/quickstart.yaml        another campaign
#   snakemake --profile slurm                                            the same on a cluster
import math
import shutil
import threading

from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.18")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/studies.smk"


rule all:
    default_target: True
    input:
        FINAL_FILES,


onstart:
    for folder in (LAYOUT.config.folders.data, RESULTS, REPORT.parent):
        remove_litter(folder)
    if needs_bfloat16() and not processor.has_bfloat16():
        logger.warning(
            "WARNING: this processor has no instructions for bfloat16, which makes precision: bfloat16 ten to twenty times"
            " slower than float32; put `precision: float32` into the task, or run it on another machine"
        )
    if workflow.executor_plugin.name == "slurm":
        # Otherwise every submission would fail by itself, some seconds apart.
        if shutil.which("sbatch") is None:
            raise WorkflowError(
                "there is no Slurm on this machine (no command sbatch); run this on a login node, or here with --profile local"
            )
        # How long the controller remembers jobs is asked at every look at them. If it is away then, the executor turns to sacct for this look, which never
        # answers where there is no accounting, and the driver waits for its jobs for ever. So the first answer is kept, and no answer does not count against squeue.
        import snakemake_executor_plugin_slurm as slurm

        if hasattr(slurm, "get_min_job_age"):
            slurm.get_min_job_age = first_answer(slurm.get_min_job_age, math.inf)
    # For its limit of 100 starts a second Snakemake looks at all ready jobs again a second after it has looked, for ever, and every job that ends begins one
    # more such round: the driver takes more of the processor with every job. Starting a job takes longer than that limit asks. Any other limit is kept.
    limit = getattr(workflow.scheduler, "job_rate_limiter", None)
    rate = [getattr(limit, name, None) for name in ("max_jobs", "timespan")]
    if rate == [100, 1]:
        workflow.scheduler.job_rate_limiter = None
    # How many cells are done, and how long the rest will take, every minute: to the terminal and into Snakemake's log.
    threading.Thread(
        target=status.report, args=(LAYOUT, logger.info), daemon=True
    ).start()


onerror:
    print(
        f"\nlautum status --config {shlex.quote(CONFIG)} says what failed",
        file=sys.stderr,
    )


onsuccess:
    made = {file for job in workflow.dag.jobs for file in job.output}
    page = f" Open {FINAL_FILES[-1]}" if str(FINAL_FILES[-1]) in made else ""
    print(f"\nDone.{page}", file=sys.stderr)
