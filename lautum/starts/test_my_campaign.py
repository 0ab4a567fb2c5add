"""That my_campaign is accepted and runs what it should: `python -m pytest test_my_campaign.py`."""

from pathlib import Path

from lautum.experiment import config
from lautum.experiment.layout import Layout


def test_the_grid_has_all_its_cells():
    layout = Layout(config.load(Path(__file__).with_name("my_campaign.yaml")))
    assert len(layout.cells()) == 6  # tasks x methods x label counts x seeds: change it with the grid
