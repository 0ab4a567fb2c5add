"""What stands below each table: what its columns are and by which rule a word follows."""

CAPTIONS = {
    "accuracy": "Target test accuracy: mean over n seeds and 95 % Student t interval of that mean. Bold: the "
    "highest mean measured for a task and number of labels, which need not be a resolved difference. "
    "One run: 95 % prediction interval for the accuracy of one further seed. "
    "Paper: its figure for that cell, one number without an interval, of networks and training that its main text does "
    "not name.",
    "differences": "Differences of target test accuracy in percentage points over the n seeds that both methods "
    "have. 95 % CI: Student t interval over seeds. BCa: bias-corrected and accelerated bootstrap over seeds, at a "
    "level expanded for n; it cannot leave the range of the observed differences, so below about 7 seeds it is too "
    "short. Seeds and images: interval for other seeds and other test images. Sign-flip p: two-sided test (exact up "
    "to 16 seeds), which cannot fall below 2 / 2^n (0.0625 for 5 seeds); it was declared before the results. t p: "
    "two-sided t test. In brackets both after Holm's correction over all comparisons of the task, missing ones as "
    "p = 1. Practically zero: the smallest margin (1 point, 2 points, half of the paper's difference) within which two "
    'one-sided t tests place the difference, after Holm\'s correction for that margin; "under" it where the 95 % CI '
    "leaves out zero; 1 and 2 points were set when the results of the campaigns {seen} were known. P(A > B): fraction "
    "of seeds on which the first method beats the second, ties counted half. Paper: difference of its two figures. "
    "Order: reproduced if the 95 % CI lies on the paper's side of zero, contradicted if on the other, else consistent "
    "but unresolved. Size: differs if the paper's "
    "difference lies outside the 95 % prediction interval for the difference in one further seed, agrees if inside one "
    "no wider than the range of the paper's figures at that number of labels, else too uncertain. The paper does not "
    "say of how many runs its figures are; of several, that interval is too wide.",
    "claims": "The orders of the paper’s table of a task, at every number of labels that was run; its text claims "
    "those of Lautum. "
    "An order is contradicted if it is at one of them, reproduced if it is at all, else consistent but unresolved; in "
    "brackets, at how many. The intervals are those of the paired differences, 95 % each, not adjusted for their "
    "number. Practically zero: at how many of the unresolved ones the two are practically equivalent, and the "
    "smallest margin that shows it.",
    "power": "What the design could have found at Holm's first step, 5 % over the number of the task's comparisons: "
    "the probability that a true difference is found by the t test and by the sign-flip test, and that it is called "
    "practically zero within 1 and 2 points (an error where it is as large as the margin or larger). For n seeds and "
    "normal differences with the standard deviation over seeds that was measured, a root mean square over the "
    "comparisons. Found: the difference that is found in 80 % of such experiments.",
    "pretraining": "Where the pre-transfer stage ended: means over the last five logged batches (training mode, with "
    "dropout) of n stages, over seeds and numbers of labels. A source accuracy near chance means that the term on the "
    "target has crowded out the source task.",
    "costs": "Cost of one run: medians over n runs, and the largest peak memory. Times compare only on the same "
    "machine. A pre-training that several methods share is counted for each of them.",
}

E_VALUES = (
    " e: Bayes factor of the t test (JZS, Cauchy prior of scale 0.707). Where the two are equal and differences "
    "normal, it ever reaches 20 with a probability of at most 5 %, however often results are looked at and whatever "
    "decides when to stop; for one comparison, not adjusted for their number. The p values hold for a number of seeds "
    "that is fixed beforehand."
)
