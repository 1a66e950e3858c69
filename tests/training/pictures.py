"""Pictures made here, for tests that need photos and have none."""

import numpy as np

from training.copy_encoder.edits import resize
from training.copy_encoder.photos import Picture


def picture(seed: int, width: int = 150, height: int = 100) -> Picture:
    """Soft blobs of colour, other ones for each seed."""
    drawn = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return resize(drawn, width, height)
