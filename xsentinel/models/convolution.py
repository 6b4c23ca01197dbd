"""3×3 convolutions with what follows them in one call, where oneDNN is there; plain torch elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_ops: Any = torch.ops.mkldnn
_backend: Any = torch.backends.mkldnn
ONE, PAD = [1, 1], [1, 1]


def is_fused(x: Tensor) -> bool:
    """Whether oneDNN's fused convolutions can take a tensor: one pass over memory less for each ReLU and each sum."""
    if x.device.type != "cpu" or not _backend.is_available() or not hasattr(_ops, "_convolution_pointwise"):
        return False
    return x.dtype != torch.bfloat16 or bool(_ops._is_mkldnn_bf16_supported())


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, relu: bool = True, add: Tensor | None = None) -> Tensor:
    """Convolve 3×3 with a border of zeros, add another tensor if given, then take the ReLU if asked.

    Parameters
    ----------
    x : (batch, n_in, y, x)
    weight : (n_out, n_in, 3, 3)
    bias : (n_out,), optional
    relu : bool
    add : (batch, n_out, y, x), optional
        May be overwritten.
    """
    after = "relu" if relu else None
    if not is_fused(x):
        y = functional.conv2d(x, weight, bias, padding=1)
        y = y if add is None else y.add_(add)
        return y.relu_() if relu else y
    if add is None:
        out: Tensor = _ops._convolution_pointwise(x, weight, bias, PAD, ONE, ONE, 1, after or "none", [], "")
        return out
    summed: Tensor = _ops._convolution_pointwise_.binary(add, x, weight, bias, PAD, ONE, ONE, 1, "add", 1.0, after, [], "")
    return summed


def upsampled_weight(weight: Tensor) -> Tensor:
    """Turn a 3×3 convolution of an image upsampled by 2 (nearest) into a transposed one of the image itself.

    Each output pixel sees 2×2 pixels of the small image instead of 3×3 of the large one, of which several are equal:
    4/9 of the products, the same sums, and the large image is never written.

    Parameters
    ----------
    weight : (n_out, n_in, 3, 3)

    Returns
    -------
    (n_in, n_out, 4, 4)
        For ``conv_transpose2d(x, ·, stride=2, padding=1)``.
    """
    spread = weight.new_zeros(4, 3)
    for phase in (0, 1):
        for tap in range(3):
            below = (phase + tap - 1) // 2
            spread[phase + 1 - 2 * below, tap] = 1
    return torch.einsum("as,bt,oist->ioab", spread, spread, weight)


def convolve_upsampled(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve the image upsampled by 2 with the weight of `upsampled_weight`: (batch, n_in, y, x) → (batch, n_out, 2y, 2x)."""
    return functional.conv_transpose2d(x, weight, bias, stride=2, padding=1)


def has_bf16_units() -> bool:
    """Whether this processor multiplies in bfloat16."""
    return bool(_backend.is_available()) and bool(_ops._is_mkldnn_bf16_supported())
