"""The accuracies that the paper reports, and the names that readers know the methods by.

Source: D. Jakubovitz, R. Giryes, M. R. D. Rodrigues, "Lautum Regularization for Semi-Supervised Transfer Learning",
2019, section 4. Every accuracy is one number without an interval; it is not said of how many runs. Those of Table 2 are
multiples of 0.1 %, as single runs on 1,000 test images, those of ten CIFAR-100 classes, would be.
"""

TABLE_SOURCES = {"mnist-notmnist": "Table 1", "cifar10-cifar100": "Table 2"}

METHOD_NAMES = {"standard": "Standard", "temporal_ensembling": "TE", "mk_mmd": "Mk-MMD", "lautum": "Lautum"}
OTHER_NAMES = {  # of what is compared with them here
    "mutual_information": "mutual information minimisation",
    "lautum_features": "Lautum of features",
    "lautum_post": "Lautum in post-transfer",
    "lautum_shuffled": "Lautum of shuffled images",
    "lautum_source": "Lautum of source images",
    "entropy": "entropy minimisation",
    "target_only": "no pre-training",
    "all_target_labels": "all target labels",
    "temporal_ensembling_unweighted": "TE of weight zero",
}

# (paper task, labelled target images): target test accuracy in percent, in the order of METHOD_NAMES.
_ROWS = {
    ("mnist-notmnist", 50): (34.02, 37.28, 46.72, 47.96),
    ("mnist-notmnist", 100): (57.58, 61.45, 63.32, 65.21),
    ("mnist-notmnist", 200): (67.78, 74.87, 80.35, 83.77),
    ("cifar10-cifar100", 100): (39.9, 42.2, 45.3, 46.7),
    ("cifar10-cifar100", 200): (52.8, 54.6, 59.3, 60.9),
    ("cifar10-cifar100", 500): (64.5, 66.5, 68.0, 70.8),
}

# (paper task, method, labelled target images): target test accuracy as a fraction.
ACCURACIES = {
    (task, method, labels): percent / 100
    for (task, labels), row in _ROWS.items()
    for method, percent in zip(METHOD_NAMES, row, strict=True)
}


def accuracy(paper_task: str | None, method: str, labels: int) -> float:
    """The paper's accuracy as a fraction; NaN where it has none (`paper_task` None: a task not in the paper)."""
    return ACCURACIES.get((paper_task or "", method, labels), float("nan"))


def method_name(method: str) -> str:
    """A method's name for readers: the paper's, one for what is compared here, or 'my method' of my_method."""
    return (METHOD_NAMES | OTHER_NAMES).get(method, method.replace("_", " "))


def name_and_key(method: str) -> str:
    """The same with the name in the configuration where that is another, e.g. 'TE (temporal_ensembling)'."""
    name = method_name(method)
    return name if name.lower() == method.lower() else f"{name} ({method})"


def comparison_name(method: str, baseline: str) -> str:
    """E.g. 'Lautum − Standard'."""
    return f"{method_name(method)} − {method_name(baseline)}"
