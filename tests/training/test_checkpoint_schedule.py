"""Which epochs are saved."""

from __future__ import annotations

import pytest

from data.errors import BadParameter
from training.checkpoint_schedule import default_checkpoints, parse_checkpoints


def test_default_has_the_start_powers_of_two_every_250_and_the_end():
    assert default_checkpoints(1) == [0, 1]
    assert default_checkpoints(600) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 250, 256, 500, 512, 600]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", [0, 1000]),
        ("7, 3,7", [0, 3, 7, 1000]),
        ("100:300:100", [0, 100, 200, 300, 1000]),
        ("0,990:1000:4", [0, 990, 994, 998, 1000]),
        ("5:5:1", [0, 5, 1000]),
    ],
)
def test_lists_and_ranges(text, expected):
    assert parse_checkpoints(text, 1000) == expected


@pytest.mark.parametrize("text", ["", "ten", "1:2", "1:2:3:4", "10:1:1", "1:10:0", "1:10:-1", "1.5"])
def test_what_cannot_be_read_is_quoted_with_an_example(text):
    with pytest.raises(BadParameter, match=r"cannot be read.*such as 0,100:1000:50"):
        parse_checkpoints(text, 1000)


@pytest.mark.parametrize("text", ["1001", "-1", "0:99999999999:1", "900:1100:100"])
def test_epochs_that_never_happen_are_refused(text):
    with pytest.raises(BadParameter, match="outside this run of 1000 epochs"):
        parse_checkpoints(text, 1000)
