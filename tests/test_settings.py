"""`name=value` becomes a field of an options dataclass, or an error that says what would have been right."""

from __future__ import annotations

from dataclasses import fields

import pytest
from command import refused

from curate.cli import main
from curate.cli.options import WITHOUT_FLAG
from curate.config import TrainOptions
from curate.errors import WrongUsage
from curate.settings import with_settings


def test_every_option_of_training_can_be_set_from_the_command_line() -> None:
    flags = {parameter.name for parameter in main.commands["retrain"].params}
    assert {field.name for field in fields(TrainOptions)} <= flags | set(WITHOUT_FLAG)
    assert not flags & set(WITHOUT_FLAG)


def test_settings_are_read_by_the_type_of_their_field() -> None:
    settings = ["warmup=0", "views = 3", "amp=False", "augmentation=light", "weight_decay=none", "learning_rate=1e-3"]
    options = with_settings(TrainOptions(weight_decay=1.0), settings)
    assert (options.warmup, options.views, options.amp, options.augmentation) == (0.0, 3, False, "light")
    assert options.weight_decay is None and options.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("warmup", "has no value"),
        ("warm_up=1", r"(?s)no setting 'warm_up'.*warmup=…, if that is what you mean"),
        ("views=many", r"(?s)views is 'many'.*a whole number or none"),
        ("views=2.5", r"(?s)views is '2.5'.*a whole number or none"),
        ("amp=1", r"(?s)amp is '1'.*true or false"),
        ("warmup=1.5", r"(?s)warmup is 1.5.*at least 0 and at most 1"),
        ("warmup=nan", "warmup is 'nan'"),
        ("folds=-1", "folds is -1"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(setting: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        with_settings(TrainOptions(), [setting])


def test_a_wrong_setting_is_wrong_usage_on_the_command_line(tmp_path) -> None:
    assert "warmup=…, if that is what you mean" in refused("retrain", "--set", "warm_up=1", "-w", tmp_path, code=2)
