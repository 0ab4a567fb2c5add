"""What my_dataset holds, once prepared: `python -m pytest test_my_dataset.py`."""

from pathlib import Path

import numpy as np

from lautum.data import datasets
from lautum.experiment import yaml_reader
from lautum.experiment.declared import Declared

HERE = Path(__file__).parent
ENTRY = yaml_reader.read(HERE / "my_dataset.yaml")["datasets"]["my_dataset"]


def test_both_parts_have_all_their_images(tmp_path, monkeypatch):
    monkeypatch.chdir(HERE)
    known = {"my_dataset": Declared.model_validate(ENTRY).data_set("my_dataset")}
    for path, count in zip(datasets.prepare("my_dataset", tmp_path, None, known), (20, 10), strict=True):
        loaded = datasets.load(path)
        assert loaded.images.shape[1:] == ENTRY["shape"]
        assert np.bincount(loaded.labels).tolist() == [count] * len(ENTRY["classes"])
