"""When somebody is told: not at night, not twice, not before it lasts, and sooner when it grows louder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from broker import until
from receiving import Receiver
from telling import AT, Telling

from pipeline.audio import SAMPLE_RATE, load
from pipeline.errors import CryError
from pipeline.monitor.level import LevelMeter
from pipeline.monitor.models import Alert
from pipeline.monitor.rules import Rules, parse_quiet
from pipeline.monitor.store import Store
from pipeline.monitor.webhook import Webhook

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("quiet", "hour_utc", "held"),
    [
        ("22:00-06:00", 20, True),
        ("22:00-06:00", 3, True),
        ("22:00-06:00", 4, False),
        ("22:00-06:00", 19, False),
        ("12:00-14:00", 10, True),
        ("12:00-14:00", 12, False),
    ],
)
def test_quiet_hours_are_those_of_the_place_and_go_over_midnight(
    quiet: str, hour_utc: int, held: bool
) -> None:
    rules = Rules(quiet=parse_quiet(quiet), zone=BERLIN)  # in June two hours ahead of UTC
    assert rules.is_quiet(AT.replace(hour=hour_utc)) is held


@pytest.mark.parametrize(
    "text", ["22-6", "night", "22:00", "25:00-06:00", "07:00-07:00", "22:00+02:00-06:00"]
)
def test_quiet_hours_that_are_none_are_said(text: str) -> None:
    with pytest.raises(CryError, match="22:00-06:30"):
        parse_quiet(text)


@pytest.mark.parametrize(
    ("day", "quiet_for_h"),
    [
        ("2026-03-28", 7.0),  # the clock is put forward in that night: one hour less
        ("2026-06-01", 8.0),
        ("2026-10-24", 9.0),  # and back: the hour that comes twice is quiet twice
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall_in_the_nights_it_is_set(
    day: str, quiet_for_h: float
) -> None:
    rules = Rules(quiet=parse_quiet("22:00-06:00"), zone=BERLIN)
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=BERLIN).astimezone(UTC)
    minutes = [noon + timedelta(minutes=number) for number in range(24 * 60)]
    quiet = [at for at in minutes if rules.is_quiet(at)]
    assert len(quiet) == quiet_for_h * 60
    assert quiet[-1] - quiet[0] == timedelta(minutes=len(quiet) - 1)  # without a break
    assert (quiet[0].astimezone(BERLIN).hour, quiet[-1].astimezone(BERLIN).hour) == (22, 5)


def test_crying_that_outlasts_what_held_it_back_is_told_then(store: Store) -> None:
    with Receiver() as receiver:
        rules = Rules(quiet=parse_quiet("18:00-20:10"), zone=UTC, cooldown_s=300)
        telling = Telling(store, Webhook(receiver.address), rules=rules)
        for passed_s in (20, 300, 599, 600, 620):  # it is 20:00 when it begins
            telling.clock.passed_s = passed_s
            telling.cry("long", float(passed_s))
        until(lambda: receiver.taken)
        telling.clock.passed_s = 700
        telling.cry("short", 20, state="ended")  # held by the cooldown, and over
        for passed_s in (800, 899, 901):
            telling.clock.passed_s = passed_s
            telling.cry("longer", passed_s - 750.0)
        until(lambda: len(receiver.taken) == 2)
        telling.close()
    assert [(message["episode_id"], message["lasted_s"]) for message in receiver.taken] == [
        ("long", 600),
        ("longer", 151),
    ]
    held = [row["held"] for row in store.rows(Alert, order_by="at") if row["held"]]
    assert [why.split(":")[0] for why in held] == ["quiet hours", "cooldown", "cooldown"]  # each said once


def test_crying_that_grows_louder_is_told_sooner(store: Store) -> None:
    with Receiver() as receiver:
        telling = Telling(
            store, Webhook(receiver.address), rules=Rules(after_s=60, rising_db=6, cooldown_s=0)
        )
        telling.cry("too short to say", 5.9, rise_db=20)
        telling.cry("as loud as before", 30, rise_db=5.9)
        telling.cry("louder", 7.2, rise_db=6.1)
        telling.cry("long", 60, rise_db=0)
        until(lambda: len(receiver.taken) == 2)
        telling.close()
    assert [(message["episode_id"], message["words"]) for message in receiver.taken] == [
        ("louder", "nursery: crying for 7 s, and growing louder."),
        ("long", "nursery: crying for 60 s."),
    ]
    assert receiver.taken[0]["rise_db"] == 6.1


@pytest.mark.parametrize("block_s", [0.02, 0.48, 1.3])
def test_how_much_louder_a_real_cry_has_become_is_measured(a_cry: Path, block_s: float) -> None:
    cry = load(a_cry).samples
    cry = np.tile(cry, 2)[: 12 * SAMPLE_RATE] * 0.2
    step = round(block_s * SAMPLE_RATE)

    def rises(gain: np.ndarray) -> np.ndarray:
        meter, sound = LevelMeter(), (cry * gain).astype(np.float32)
        blocks = [sound[begin : begin + step] for begin in range(0, len(sound), step)]
        return np.array([meter.push(block, SAMPLE_RATE).rise_db for block in blocks])

    even = rises(np.ones(len(cry)))
    assert not even[: int(5.9 / block_s)].any()  # not known before there are six seconds
    louder = rises(np.linspace(1, 8, len(cry)))  # from one to eight times the amplitude in twelve seconds
    quieter = rises(np.linspace(8, 1, len(cry)))
    assert even.max() < 6 < louder.max()
    assert louder.mean() > even.mean() > quieter.mean()
    sudden = rises(np.where(np.arange(len(cry)) < 9 * SAMPLE_RATE, 1.0, 2.0))[-1]
    before = even[-1]
    assert sudden - before == pytest.approx(20 * np.log10(2), abs=2.5)  # pieces and seconds need not agree
