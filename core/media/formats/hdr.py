"""High dynamic range -> what a screen without it shows: PQ and HLG with the primaries of BT.2020.

Without this their numbers would be taken for sRGB, and the picture would be grey and flat. The curves are those of
ITU-R BT.2100-2, tables 4 and 5; white is at 203 cd/m² (ITU-R BT.2408-7, table 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Channel = NDArray[np.float32]

PQ, HLG = 16, 18
"""The transfer characteristics of ITU-T H.273, table 3."""

WHITE, PEAK = 203.0, 1000.0
"""cd/m² of paper, and of the screen that HLG is made for."""

KNEE = 0.75
"""The share of white above which highlights are compressed, if there are any beyond white."""

_HEAD = 65_536  # bytes in which the box with the colours lies
_FROM_2020 = np.array(  # linear BT.2020 to BT.709 (ITU-R BT.2087-0, annex 2)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def transfer_of(data: bytes) -> int | None:
    """PQ or HLG, if an AVIF or HEIF file says so (ISO/IEC 14496-12, 12.1.5), else None."""
    at = data[:_HEAD].find(b"colrnclx")
    transfer = int.from_bytes(data[at + 10 : at + 12], "big") if at >= 0 else None
    return transfer if transfer in (PQ, HLG) else None


def as_sdr(image: Image.Image, transfer: int) -> Image.Image:
    """An RGB image in PQ or HLG as sRGB."""
    coded: Channel = (np.asarray(image, dtype=np.float32) / 255).astype(np.float32)
    light = (_pq(coded) if transfer == PQ else _hlg(coded)) / WHITE
    light = (light @ _FROM_2020.T).clip(0)
    brightest = light.max(axis=2, keepdims=True)
    if np.percentile(brightest, 99.5) > 1:
        over = (brightest - KNEE) / (1 - KNEE)
        held = np.where(over > 0, KNEE + (1 - KNEE) * (1 - np.exp(-over.clip(0))), brightest)
        light *= held / brightest.clip(1e-6)
    light = light.clip(0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return Image.fromarray((srgb * 255).round().astype(np.uint8))


def _pq(coded: Channel) -> Channel:
    """cd/m² of PQ."""
    power = coded ** np.float32(32 / 2523)
    light: Channel = 10_000 * ((power - 0.8359375).clip(0) / (18.8515625 - 18.6875 * power)) ** np.float32(8192 / 1305)
    return light


def _hlg(coded: Channel) -> Channel:
    """cd/m² of HLG on a screen of PEAK."""
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    luma = (scene @ _LUMA)[..., None]
    light: Channel = (PEAK * luma.clip(1e-6) ** np.float32(0.2) * scene).astype(np.float32)
    return light
