"""What my_dataset holds: `python -m pytest test_my_dataset.py`."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from lautum.experiment import yaml_reader
from lautum.experiment.declared import Declared

HERE = Path(__file__).parent
CONTENT = cast(dict[str, Any], yaml_reader.read(HERE / "my_dataset.yaml"))
ENTRY = Declared.model_validate(CONTENT["datasets"]["my_dataset"])


def test_both_parts_have_all_their_images(monkeypatch):
    monkeypatch.chdir(HERE)
    parts = ENTRY.data_set("my_dataset").read(Path(), None)
    for (images, labels), count in ((parts.train, 20), (parts.test, 10)):
        assert images.shape[1:] == ENTRY.shape
        assert np.bincount(labels).tolist() == [count] * len(ENTRY.classes)
