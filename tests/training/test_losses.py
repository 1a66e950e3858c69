import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from training.copy_encoder.losses import Memory, contrast, spread, strangers
from training.copy_encoder.metrics import between, cut_for, ranks, recall_at


def test_strangers_have_no_picture_in_common() -> None:
    holds = torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.bool)
    apart, far = strangers(holds, torch.tensor([7, 8]), torch.tensor([8, 9]))
    assert apart.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    assert far.tolist() == [[True, True], [False, True], [False, True]]


def test_contrast_falls_when_copies_come_nearer_and_rises_when_strangers_do() -> None:
    pairs = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    apart = torch.tensor([[0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)
    memory, far = torch.zeros(0, 2), torch.zeros(3, 0, dtype=torch.bool)

    def loss(*degrees: float) -> float:
        angles = torch.tensor(degrees).deg2rad()
        return contrast(torch.stack([angles.cos(), angles.sin()], 1), pairs, apart, memory, far).item()

    assert loss(0, 10, 90) < loss(0, 40, 90)
    assert loss(0, 10, 90) < loss(0, 10, 30)
    assert loss(0, 0, 0) == pytest.approx(np.log(2), abs=1e-4)


def test_what_is_remembered_of_the_same_photo_is_no_stranger() -> None:
    vectors = normalize(torch.tensor([[1.0, 0.0], [1.0, 0.2]]), dim=1)
    pairs, apart = torch.tensor([[False, True], [True, False]]), torch.zeros(2, 2, dtype=torch.bool)
    memory = vectors[:1]
    same = contrast(vectors, pairs, apart, memory, torch.tensor([[False], [False]]))
    other = contrast(vectors, pairs, apart, memory, torch.tensor([[True], [True]]))
    assert same.item() < 1e-4
    assert other.item() > 0.5


def test_spread_presses_strangers_apart() -> None:
    vectors = normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]]), dim=1).requires_grad_(True)
    apart = ~torch.eye(3, dtype=torch.bool)
    loss = spread(vectors, apart, torch.zeros(0, 2), torch.zeros(3, 0, dtype=torch.bool))
    torch.autograd.backward(loss)
    assert vectors.grad is not None
    assert vectors.grad[0, 1] > 0, "the first moves away from the second, down"
    assert vectors.grad[1, 1] < 0


def test_the_memory_forgets_the_oldest() -> None:
    memory = Memory(3, 1)
    for number in range(5):
        memory.add(torch.tensor([[float(number)]]), torch.tensor([number]))
    assert memory.photos.tolist() == [4, 3, 2]
    assert memory.vectors[:, 0].tolist() == [4, 3, 2]


def test_recall_of_pairs_at_a_precision() -> None:
    angles = np.radians([0, 1, 40, 42, 45, 120])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    names = np.array([0, 0, 1, 1, 2, 1])
    # Of the four true pairs 1° and 2° come first, then 3° and 5° are false.
    recall, cut = recall_at(vectors, names, 0.999)
    assert recall == 0.5
    assert cut == pytest.approx(np.cos(np.radians(2)), abs=1e-6)
    assert recall_at(vectors, np.array([0, 1, 2, 3, 4, 5]), 0.9) == (0.0, 1.0)


def test_ranks_count_what_is_nearer_than_the_right_one() -> None:
    index = np.eye(3, dtype=np.float32)
    queries = np.array([[1, 0, 0], [0.5, 0.4, 0.3]], np.float32)
    assert ranks(queries, index, np.array([0, 2])).tolist() == [0, 2]


def test_the_cut_lets_its_share_of_unrelated_pairs_pass() -> None:
    similarities = np.linspace(0, 1, 1001, dtype=np.float32)
    assert (similarities > cut_for(similarities, 0.01)).mean() == pytest.approx(0.01, abs=0.001)
    vectors = np.eye(3, dtype=np.float32)
    assert len(between(vectors, np.array([0, 0, 1]))) == 2
