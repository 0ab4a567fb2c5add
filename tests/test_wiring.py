"""What is configured is what happens: objectives, settings and jobs, seen from the weights that come out."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
import yaml
from torch import nn

from lautum import objectives
from lautum.data import datasets
from lautum.data.transforms import InputTransform
from lautum.errors import Damaged, LautumError
from lautum.experiment import config
from lautum.experiment.layout import Cell, Layout
from lautum.files import read_arrays, sha256_of_arrays, write_arrays
from lautum.objectives import PRETRAIN, TRANSFER, lautum_source
from lautum.pipeline.evaluate import evaluate
from lautum.pipeline.split import split
from lautum.pipeline.train import optimiser, pretrain, transfer
from lautum.seeds import derive
from lautum.training import checkpoint, network_file, networks
from lautum.training.batches import Labelled, StageData
from lautum.training.checkpoint import Checkpoints
from lautum.training.device import select_device
from lautum.training.loop import train

ROOT = Path(__file__).parent.parent
SCHEMAS = PRETRAIN | TRANSFER
# No value is a default. Five steps of 8 images end in the third pass over 20 images, and in the second over 30.
SETTINGS = {"batch_size": 8, "learning_rate": 0.02, "clip_norm": 0.05, "steps": 5, "weight": 0.5}
SETTINGS |= {"rank": 5, "decay": 0.75, "ridge": 0.01}
SETTINGS |= {"momentum": 0.8, "weight_decay": 0.1}
SETTINGS |= {"epochs": 4, "ensemble_decay": 0.7, "ramp_up": 0.5, "ramp_down": 0.5}


@pytest.fixture
def double():
    """All numbers in float64: Adam divides by gradients however small, so float32 would ask for a loose bound."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def settings_of(name: str, **changed):
    values = SETTINGS | changed
    known = {key: value for key, value in values.items() if key in SCHEMAS[name].model_fields and value is not None}
    return SCHEMAS[name](**known)


def stage_data() -> StageData:
    images = torch.randint(0, 256, (50, 1, 6, 6), generator=torch.Generator().manual_seed(0)).byte()
    transform = InputTransform("flip-shift", torch.tensor([[[128.0]]]), torch.tensor([[[64.0]]]))
    return StageData(transform, Labelled(images[:20], torch.arange(20) % 3), images[20:])


def run(name: str, settings, folder: Path, training: bool = True, **options):
    network, seed = reference.Tiny().train(training), 3
    objective = objectives.build(name, network, stage_data(), settings, seed)
    checkpoints = Checkpoints(folder / "unused.safetensors", "test", name, 60.0)
    outcome = train(network, objective, optimiser(network, settings), settings.clip_norm, seed, checkpoints, **options)
    return network.state_dict(), outcome


def test_every_objective_has_a_reference():
    assert reference.OBJECTIVES.keys() == SCHEMAS.keys()


# The mode that a network is in when it comes to the loop plays no part.
@pytest.mark.parametrize(("clip_norm", "training"), [(0.05, True), (100.0, False)], ids=["clipped", "not-clipped"])
@pytest.mark.parametrize(
    ("name", "changed"),
    # Of 50 images in batches of 7 one is left over.
    [*((name, {}) for name in SCHEMAS), ("temporal_ensembling", {"batch_size": 7})],
)
def test_training_equals_the_plain_loop(name, changed, clip_norm, training, tmp_path, monkeypatch, double):
    monkeypatch.setattr(lautum_source, "POOL", reference.SOURCE_POOL)
    settings = settings_of(name, clip_norm=clip_norm, **changed)
    weights, outcome = run(name, settings, tmp_path, training)
    expected, curve, images = reference.train(name, stage_data(), settings, seed=3)
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, rtol=1e-8, atol=1e-10)
    assert outcome.curve.keys() == curve.keys()
    for key, values in curve.items():
        assert outcome.curve[key] == pytest.approx(values, rel=1e-8, abs=1e-12), key
    assert (outcome.step, outcome.images) == (len(curve.get("step", ())), images)
    if curve:  # the case is what it is called
        assert (max(curve["gradient_norm"]) > clip_norm) == (clip_norm < 1)


def test_the_curve_is_thinned_out_and_keeps_the_last_step(tmp_path):
    settings = settings_of("source_only")
    _, whole = run("source_only", settings, tmp_path)
    _, thin = run("source_only", settings, tmp_path, log_points=2)
    assert thin.curve == {name: [values[1], values[3], values[4]] for name, values in whole.curve.items()}


# Another value of every setting.
OTHERS = {"batch_size": 10, "learning_rate": 0.03, "clip_norm": 100.0, "steps": 6, "weight": 1.0, "rank": 4}
OTHERS |= {"decay": 0.5, "ridge": 0.1, "epochs": 5, "ensemble_decay": 0.3, "ramp_up": 0.75, "ramp_down": 0.75}
OTHERS |= {"optimiser": "sgd", "momentum": 0.5, "weight_decay": 1.0, "labelled_epochs": 2}
# What network the objective is given, which of its weights are trained and how it is scaled: tests/test_stages.py and
# test_a_transferred_network_is_that_of_the_loop. Snapshots change nothing of the network at the end.
BY_THE_JOB = {"head", "trained", "scaling", "initialisation", "snapshots"}


def test_every_setting_has_another_value():
    assert OTHERS.keys() | BY_THE_JOB == {field for schema in SCHEMAS.values() for field in schema.model_fields}


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, schema in SCHEMAS.items() for field in schema.model_fields if field not in BY_THE_JOB],
)
def test_every_setting_changes_the_trained_weights(name, field, tmp_path):
    # Some settings play a part only beside others: steps are given instead of epochs, Adam has no momentum.
    values = {"labelled_epochs": {"steps": None}, "momentum": {"optimiser": "sgd"}}.get(field, {})
    one, _ = run(name, settings_of(name, **({} if field == "labelled_epochs" else values)), tmp_path)
    other, _ = run(name, settings_of(name, **values, **{field: OTHERS[field]}), tmp_path)
    largest = max(float((one[key] - other[key]).abs().max()) for key in one)
    # Without a single step there is nothing to change.
    assert largest > 1e-4 if name != "untrained" else largest == 0


TASK, LABELS, SEED = "digits-letters", 20, 4
ALL = list("ABCDEFGHIJ")
FEW = ["J", "A", "C", "B"]  # classes, not in the data set's order
# No value is a default, and the gradients are clipped.
STEPS = {"batch_size": 16, "learning_rate": 0.01, "clip_norm": 0.1, "steps": 3}
EPOCHS = {"batch_size": 500, "learning_rate": 0.01, "clip_norm": 0.1, "epochs": 2}


def cell(method: str) -> Cell:
    return Cell(TASK, method, LABELS, SEED)


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def numerics():
    """The process as it was, however a job leaves its threads and kernels."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    fill, cudnn = torch.utils.deterministic.fill_uninitialized_memory, torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    cudnn.benchmark, cudnn.allow_tf32 = flags


def careless() -> None:
    """Threads and kernels as no job may leave them."""
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True


def is_repeatable(threads: int) -> bool:
    """Whether this process computes with so many threads and in a way that a second run repeats."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    error = 2  # of the modes "default", "warn", "error"
    state = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    return state == (threads, error) and not (cudnn.benchmark or cudnn.allow_tf32 or matmul.allow_tf32)


@pytest.fixture
def campaign(tmp_path, monkeypatch, builtin_data, numerics):
    """Makes a campaign of the built-in data, with these values of its task, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(builtin_data, "data")

    def make(*methods: str, validation: bool = False, threads: int = 1, **task) -> Layout:
        base = {"extends": str(ROOT / "config/config.yaml"), "name": "wiring", "device": "cpu", "comparisons": []}
        base |= {"threads": threads}
        if validation:  # some images are held out for the selection among trials
            base |= {"evaluate": {"part": "validation", "validation_images": 20}}
            base |= {"methods": {method: {"trial_of": method} for method in methods}}
        base |= {"grid": {"tasks": [TASK], "methods": list(methods), "seeds": [SEED]}}
        task = {"label_counts": [LABELS], "pretrain": STEPS | {"rank": 8}, "transfer": STEPS} | task
        Path("wiring.yaml").write_text(yaml.safe_dump(base | {"tasks": {TASK: task}}))
        layout = Layout(config.load("wiring.yaml"))
        split(layout, TASK, LABELS, SEED)
        return layout

    return make


@pytest.fixture
def shown(monkeypatch) -> list[StageData]:
    """What the stages' objectives are given, stage by stage."""
    seen, build = [], objectives.build

    def spy(name, network, data, *others):
        seen.append(data)
        return build(name, network, data, *others)

    monkeypatch.setattr(objectives, "build", spy)
    return seen


def same(one: StageData, other: StageData) -> bool:
    parts = [
        (data.labelled.images, data.labelled.labels, data.unlabelled, data.transform.mean, data.transform.std)
        for data in (one, other)
    ]
    return one.transform.augmentation == other.transform.augmentation and all(
        a is b or torch.equal(a, b) for a, b in zip(*parts, strict=True)
    )


def trained(network, data: StageData, objective: str, settings) -> dict:
    """The weights after a stage, from the network that it starts with."""
    built = objectives.build(objective, network, data, settings, SEED)
    unused = Checkpoints(Path("again.safetensors"), "again", "again", 60.0)
    train(network, built, optimiser(network, settings), settings.clip_norm, SEED, unused)
    return network.state_dict()


def target_data(layout: Layout, classes: list[str], *parts: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of these parts of the split, and their labels in the order of the classes."""
    target = datasets.load(Path("data/letters-train.safetensors"), "letters", "train")
    drawn = json.loads(layout.split(TASK, LABELS, SEED).read_text())
    index = [number for part in parts for number in drawn[part]]
    labels = [classes.index(target.class_names[number]) for number in target.labels[index]]
    return torch.from_numpy(target.images[index]), torch.tensor(labels)


@pytest.mark.parametrize("method", ["standard", "lautum"])
def test_a_pretrained_network_is_that_of_the_loop(method, campaign, shown):
    task = {"network": "conv16-32-fc128", "augmentation": "flip-shift", "precision": "bfloat16"}
    layout = campaign(method, validation=True, **task)
    state, _ = checkpoint.load(pretrain(layout, TASK, method, LABELS, SEED))
    source = datasets.load(Path("data/digits-train.safetensors"), "digits", "train")
    images, unlabelled = torch.from_numpy(source.images), None
    objective, settings = "source_only", PRETRAIN["source_only"](**STEPS)
    if method == "lautum":
        unlabelled, _ = target_data(layout, ALL, "unlabelled")
        objective, settings = "lautum", PRETRAIN["lautum"](**STEPS, rank=8)
    transform = InputTransform.for_source(images, "flip-shift")
    data = StageData(transform, Labelled(images, torch.from_numpy(source.labels)), unlabelled)
    assert same(shown[0], data)
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, SEED, "bfloat16")
    assert equal(state["network"], trained(network.to(memory_format=torch.channels_last), data, objective, settings))
    assert torch.equal(state["transform"]["mean"], transform.mean)
    assert torch.equal(state["transform"]["std"], transform.std)


@pytest.mark.parametrize(
    ("method", "head", "classes"),
    [
        ("standard", "keep", ALL),
        ("standard", "reinitialise", ALL),
        ("temporal_ensembling", "keep", ALL),
        ("all_target_labels", "reinitialise", FEW),
    ],
)
def test_a_transferred_network_is_that_of_the_loop(method, head, classes, campaign, shown):
    task = {"augmentation": "flip-shift", "precision": "bfloat16", "classes": classes}
    steps = EPOCHS if method == "temporal_ensembling" else STEPS
    layout = campaign(method, validation=True, transfer=steps | {"head": head}, **task)
    start, _ = checkpoint.load(pretrain(layout, TASK, method, LABELS, SEED))
    state, _ = checkpoint.load(transfer(layout, cell(method)))
    transform = InputTransform("flip-shift", **start["transform"])
    labelled = target_data(layout, classes, "labelled")
    if method == "all_target_labels":
        labelled = target_data(layout, classes, "labelled", "unlabelled")
    data = StageData(transform, Labelled(*labelled), target_data(layout, classes, "unlabelled")[0])
    assert same(shown[1], data)
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, 0, "bfloat16").to(memory_format=torch.channels_last)
    network.load_state_dict(start["network"])
    if head == "reinitialise":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive("head initialisation", SEED))
            network.head = nn.Linear(128, len(classes))
    objective = layout.config.methods[method].transfer
    assert equal(state["network"], trained(network, data, objective, TRANSFER[objective](**steps)))


def test_task_and_seed_each_decide_the_pretrained_network(campaign):
    def weights(seed: int = SEED, **task) -> dict:
        layout = campaign("standard", **{"network": "conv16-32-fc128"} | task)
        state, _ = checkpoint.load(pretrain(layout, TASK, "standard", LABELS, seed))
        return state["network"]

    as_it_is = weights()
    for other in (
        weights(SEED + 1),
        weights(augmentation="flip-shift"),
        weights(precision="bfloat16"),
        weights(network="conv32-64-fc512"),
        weights(pretrain=STEPS | {"clip_norm": 5.0}),
    ):
        assert not equal(as_it_is, other)


def another_version() -> None:
    """Replace the target's training file by one that is whole and differs in a pixel."""
    path = Path("data/letters-train.safetensors")
    arrays, metadata = read_arrays(path)
    arrays["images"][0, 0, 0, 0] ^= 1
    write_arrays(path, arrays, metadata | {"sha256": sha256_of_arrays(arrays["images"], arrays["labels"])})


def test_splits_and_networks_of_another_version_of_the_target_are_refused(campaign):
    layout = campaign("standard", "lautum")
    made = {method: pretrain(layout, TASK, method, LABELS, SEED) for method in ("standard", "lautum")}
    another_version()
    for job in (
        lambda: pretrain(layout, TASK, "lautum", LABELS, SEED),
        lambda: transfer(layout, cell("standard")),
        lambda: transfer(layout, cell("lautum")),
    ):
        with pytest.raises(Damaged, match="was drawn from another version of letters") as refused:
            job()
        assert refused.value.path == layout.split(TASK, LABELS, SEED)
    split(layout, TASK, LABELS, SEED)
    with pytest.raises(Damaged, match="target_train_sha256 is") as refused:
        transfer(layout, cell("lautum"))
    assert refused.value.path == made["lautum"]
    assert transfer(layout, cell("standard")).exists()  # which was trained on the source alone


@pytest.mark.parametrize("part", ["test", "validation"])
def test_all_images_of_the_task_are_predicted_without_dropout_and_augmentation(part, campaign):
    layout = campaign(
        "standard",
        validation=part == "validation",
        classes=FEW,
        augmentation="flip-shift",
        transfer=STEPS | {"head": "reinitialise"},
    )
    pretrain(layout, TASK, "standard", LABELS, SEED)
    stage = transfer(layout, cell("standard"))
    path = evaluate(layout, cell("standard"))
    if part == "validation":
        images, labels = target_data(layout, FEW, "validation")
    else:
        test = datasets.load(Path("data/letters-test.safetensors"), "letters", "test")
        index = [place for place, number in enumerate(test.labels) if test.class_names[number] in FEW]
        images = torch.from_numpy(test.images[index])
        labels = torch.tensor([FEW.index(test.class_names[number]) for number in test.labels[index]])
    found, _ = read_arrays(path.with_suffix(".safetensors"))
    assert np.array_equal(found["labels"], labels)
    expected = {"image_shape": list(images.shape[1:]), "seed": SEED}
    network, transform, _ = network_file.load(
        stage, expected, "conv16-32-fc128", "float32", "none", torch.device("cpu")
    )
    with torch.no_grad():
        logits = network.eval()(transform(images))
    predictions = torch.from_numpy(found["predictions"]).long()
    # Up to round-off, which depends on the size of a batch.
    assert (logits.gather(1, predictions[:, None])[:, 0] > logits.amax(dim=1) - 1e-4).all()
    record = json.loads(path.read_text())
    assert (record["n_images"], record["correct"]) == (len(labels), int((predictions == labels).sum()))


def test_a_test_part_without_an_image_of_the_tasks_classes_is_named(campaign):
    layout = campaign("standard", classes=FEW, transfer=STEPS | {"head": "reinitialise"})
    pretrain(layout, TASK, "standard", LABELS, SEED)
    transfer(layout, cell("standard"))
    path = Path("data/letters-test.safetensors")
    arrays, metadata = read_arrays(path)
    others = ~np.isin(arrays["labels"], [metadata["class_names"].index(name) for name in FEW])
    arrays = {name: array[others] for name, array in arrays.items()}
    write_arrays(path, arrays, metadata | {"sha256": sha256_of_arrays(arrays["images"], arrays["labels"])})
    with pytest.raises(LautumError, match=f"task {TASK}: the test part of letters has no image of its classes"):
        evaluate(layout, cell("standard"))


def test_the_device_is_selected_with_its_threads_and_repeatable_kernels(numerics, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")  # which is put back after the test
    careless()
    assert not is_repeatable(2)
    assert select_device("cpu", 2) == torch.device("cpu")
    assert is_repeatable(2)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.utils.deterministic.fill_uninitialized_memory is False
    with pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))


def test_every_job_computes_repeatably_and_with_the_configured_threads(campaign):
    layout = campaign("standard", threads=2)
    for job in (
        lambda: pretrain(layout, TASK, "standard", LABELS, SEED),
        lambda: transfer(layout, cell("standard")),
        lambda: evaluate(layout, cell("standard")),
    ):
        careless()
        job()
        assert is_repeatable(2)
