"""Where a sound is heard from: a room with its reverberation, a distance, perhaps a door in between.

The impulse response is a direct path and an exponentially decaying noise tail (Polack 1988, "La transmission
de l'énergie sonore dans les salles"), which is what a room's response becomes once its reflections are dense.
How loud the tail is beside the direct path follows from the distance: at the critical distance
``0.057 * sqrt(Q * V / T)`` metres (V in cubic metres, T the reverberation time in seconds, Q the directivity
of the source) both hold the same energy (Kuttruff, "Room Acoustics", the diffuse field). Q is 2: what lies on
a bed, sits on the floor or stands by a wall radiates into half of the room. The direct path falls by 6 dB per
doubling of the distance, the tail is the same anywhere in the room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
# The tail begins after the direct path by about the way to the nearest wall and back.
_FIRST_REFLECTION_S = 0.004
_DIRECTIVITY = 2.0
_DOOR_HZ = 900.0
_DOOR_DB = -12.0


@dataclass(frozen=True)
class Place:
    """Where a sound comes from, as heard by the microphone.

    Attributes:
        rt60_s: reverberation time to -60 dB; volume_m3: of the room; distance_m: from the microphone.
        behind_door: heard from the next room: high sounds are dulled, all is 12 dB down.
    """

    rt60_s: float
    volume_m3: float
    distance_m: float
    behind_door: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator, farthest_m: float, door_chance: float = 0.0) -> Place:
        """A furnished room of a home; distances are spread evenly by ratio from 0.5 m on."""
        return cls(
            rt60_s=round(float(rng.uniform(0.2, 0.7)), 3),
            volume_m3=round(float(rng.uniform(20, 60)), 1),
            distance_m=round(float(np.exp(rng.uniform(np.log(0.5), np.log(farthest_m)))), 2),
            behind_door=bool(rng.random() < door_chance),
        )

    @property
    def critical_distance_m(self) -> float:
        """Where direct sound and reverberation are equally strong."""
        return 0.057 * float(np.sqrt(_DIRECTIVITY * self.volume_m3 / self.rt60_s))

    @property
    def direct_to_reverberant_db(self) -> float:
        """Energy of the direct path over that of the tail."""
        return float(20 * np.log10(self.critical_distance_m / self.distance_m))

    @property
    def tail_samples(self) -> int:
        """Samples by which a sound grows longer in this place."""
        return int(self.rt60_s * SAMPLE_RATE)


def impulse_response(place: Place, rng: np.random.Generator) -> NDArray[np.float64]:
    """(1 + place.tail_samples,): direct path ``1 / distance`` first, then the tail; 1 m is the reference."""
    n = place.tail_samples
    first = int(_FIRST_REFLECTION_S * SAMPLE_RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail[:first] = 0.0
    tail /= np.sqrt(np.sum(tail**2)) * place.critical_distance_m
    return np.concatenate([[1 / place.distance_m], tail])


def hear(samples: NDArray[np.floating], place: Place, rng: np.random.Generator) -> NDArray[np.float64]:
    """A dry sound as the microphone hears it: (n + place.tail_samples,), beginning when the sound does."""
    from scipy.signal import butter, oaconvolve, sosfilt

    heard = oaconvolve(np.asarray(samples, np.float64), impulse_response(place, rng))
    if place.behind_door:
        dulled = sosfilt(butter(2, _DOOR_HZ, fs=SAMPLE_RATE, output="sos"), heard)
        heard = dulled * 10 ** (_DOOR_DB / 20)
    return np.asarray(heard)
