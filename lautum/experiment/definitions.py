"""What a grid names and a configuration defines: methods and tasks."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, PrivateAttr, ValidationInfo, model_validator

from lautum import paper
from lautum.errors import require_known
from lautum.experiment import catalogue
from lautum.experiment.checks import require_stage_keys
from lautum.experiment.fields import Seed, Seeds
from lautum.schema import Strict


class Method(Strict):
    """A pair of objectives, one for each stage of the paper's Figure 1."""

    pretrain: str
    transfer: str
    about: str = ""  # one line for the report
    trial_of: str | None = None  # while selecting hyper-parameters: the method that this is a trial of
    arm: str | None = None  # in a campaign of universes: the method that this is in one of them
    universe: NonNegativeInt | None = None  # likewise: in which

    @model_validator(mode="after")
    def _known_objectives(self, info: ValidationInfo):
        known = catalogue.of(info)
        require_known("pretrain objective", self.pretrain, known.pretrain)
        require_known("transfer objective", self.transfer, known.transfer)
        return self


class MethodSettings(Strict):
    """What one method sets differently in one task."""

    network: str | None = None  # instead of the task's
    more_seeds: tuple[Seed, ...] = ()  # beside the task's
    pretrain: dict = {}
    transfer: dict = {}
    tuning_seeds: tuple[int, ...] = ()  # that its values were selected on; results on them are not reported


class Task(Strict):
    """A transfer from a source to a target data set."""

    source: str
    target: str
    classes: tuple[str, ...] | None = None  # target classes by name; None: all
    seeds: Seeds | None = None  # instead of the grid's, which must not be set in a file that extends this one
    # Numbers of seeds after which results were looked at, before the last: the report then shows e-values too. A file
    # that extends this one does not inherit them.
    looks: tuple[PositiveInt, ...] = Field((), max_length=100)
    label_counts: tuple[int, ...] = Field(min_length=1, max_length=100)
    network: str
    precision: Literal["float32", "bfloat16"] = "float32"  # of convolutions and matrix products; weights are float32
    augmentation: Literal["none", "flip-shift"] = "none"
    paper_table: str | None = None  # the paper's task that the results are shown beside
    pretrain: dict = {}  # settings of the pre-transfer stage, for every objective that has them
    transfer: dict = {}  # likewise post-transfer
    methods: dict[str, MethodSettings] = {}
    _target_classes: tuple[str, ...] = PrivateAttr()  # all of them

    @model_validator(mode="after")
    def _values(self, info: ValidationInfo):
        known = catalogue.of(info)
        for network in (self.network, *(own.network for own in self.methods.values() if own.network)):
            known.require_network(network)
        if self.paper_table is not None:
            require_known("paper_table", self.paper_table, paper.TABLE_SOURCES)
        require_known("data set", self.source, known.datasets)
        require_known("data set", self.target, known.datasets)
        self._target_classes = known.datasets[self.target].class_names
        for count in self.label_counts:
            if count < 1 or self.label_counts.count(count) > 1:
                raise ValueError(f"label_counts must be distinct positive integers, got {list(self.label_counts)}")
        if list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks must be rising numbers of seeds, got {list(self.looks)}")
        if self.classes is not None and (len(self.classes) < 2 or len(set(self.classes)) < len(self.classes)):
            raise ValueError(f"classes must name at least 2 classes, each once, got {list(self.classes)}")
        for name in self.classes or ():
            require_known(f"class of {self.target}", name, self._target_classes)
        for count in self.label_counts:
            if count % self.class_count:
                raise ValueError(f"label_counts must be multiples of the {self.class_count} classes, got {count}")
        require_stage_keys("pretrain", self.pretrain, known.pretrain.values())
        require_stage_keys("transfer", self.transfer, known.transfer.values())
        return self

    def own(self, method: str) -> MethodSettings:
        """What a method sets differently in this task."""
        return self.methods.get(method, MethodSettings())

    @property
    def class_count(self) -> int:
        """Number of target classes that take part."""
        return len(self.classes or self._target_classes)
