"""Layers that networks share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3×3 convolutions, each with batch normalisation (if asked for) and ReLU."""

    def __init__(self, n_in: int, n_out: int, norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1, bias=not norm)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1, bias=not norm)
        self.first_norm = nn.BatchNorm2d(n_out) if norm else nn.Identity()
        self.second_norm = nn.BatchNorm2d(n_out) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, n_in, y, x) → (batch, n_out, y, x)."""
        x = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(x)))
