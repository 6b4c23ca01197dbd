"""The network of Wang et al. (2023): two U-Nets, one for radar and one for past leaf area, and a third that reads both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.folded import FoldedUNet, Thinned, answer, featured
from xsentinel.models.network import Masks, Network, Sampler, Site
from xsentinel.models.planes import LAI_SCALE, MASK_CLASSES, SEASON
from xsentinel.models.unet import UNet, reads

Parts = Literal["both", "radar", "optical"]


class Front(nn.Module):
    """What one encoder sees: its planes, masks as two maps a date, the season as one.

    The mask's class picks a row of a table, which is the same as a 1×1 convolution of the class one-hot.
    """

    def __init__(self, names: Sequence[str], quantities: Sequence[str], use_masks: bool, use_season: bool) -> None:
        super().__init__()
        kinds = [name.partition("_")[0] for name in names]
        self.plain = [k for k, kind in enumerate(kinds) if kind in quantities]
        self.classes = [k for k, kind in enumerate(kinds) if kind == "class"] if use_masks else []
        self.days = [names.index(name) for name in SEASON] if use_season and set(SEASON) <= set(names) else []
        if not self.plain:
            raise ValueError(f"no plane of {' or '.join(quantities)} among {', '.join(names)}")
        self.table = nn.Embedding(len(MASK_CLASSES), 2) if self.classes else None
        self.season = nn.Sequential(nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 1, 1)) if self.days else None
        self.n_out = len(self.plain) + 2 * len(self.classes) + bool(self.days)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channel, y, x) → (batch, n_out, y, x)."""
        parts = [x[:, self.plain]]
        if self.table is not None:
            maps = functional.embedding(x[:, self.classes].round().long().clamp(0, len(MASK_CLASSES) - 1), self.table.weight.to(x.dtype))
            parts.append(maps.permute(0, 1, 4, 2, 3).flatten(1, 2))
        if self.season is not None:
            parts.append(self.season(x[:, self.days]))
        return torch.cat(parts, 1).contiguous(memory_format=torch.channels_last)


class Encoder(nn.Module):
    """A front and a U-Net behind it, whose last features go on and whose head estimates leaf area by itself."""

    def __init__(self, front: Front, widths: Sequence[int], n_out: int, dropout: float) -> None:
        super().__init__()
        self.front, self.trunk = front, UNet(front.n_out, n_out, widths, dropout)

    def forward(self, x: Tensor, masks: Masks | None = None) -> tuple[Tensor, Tensor]:
        """x: (batch, channel, y, x) → features (batch, widths[0], y, x) and answer (batch, n_out, y, x)."""
        features = self.trunk.features(self.front(x), masks)
        return features, self.trunk.head(features)


class Fusion(Network):
    """Leaf area from radar at the date and before, and from leaf area before it.

    Encoder 1 sees radar, masks and season; encoder 2 past leaf area, masks and season; the decoder sees the last features of both.
    All three are U-Nets of two convolutions a level (the authors call their skip connections residual), with batch normalisation before
    each ReLU and nearest upsampling where the authors normalise once a block and transpose convolutions. Inside, leaf area is divided by
    5, as in the authors' code; outside it is in m² m⁻².

    Parameters
    ----------
    n_in, n_out : int
        Planes in and out.
    names : sequence of str
        Of the planes in: rows of `xsentinel.models.planes.FUSION`, and ``sin_day`` and ``cos_day``.
    widths : sequence of int
        Channels of each level of the encoders, from full resolution down.
    decoder_widths : sequence of int
        Of the decoder.
    dropout, encoder_dropout : float
        Rate after each block of the decoder, or the only encoder, and of the two encoders.
    parts : {"both", "radar", "optical"}
        The whole, or one encoder alone with its own head.
    use_masks, use_season : bool
        Whether masks and season are looked at, if they are there.
    """

    is_named = True

    def __init__(
        self,
        n_in: int,
        n_out: int,
        names: Sequence[str],
        widths: Sequence[int] = (32, 64, 128),
        decoder_widths: Sequence[int] = (64, 128, 256),
        dropout: float = 0.2,
        encoder_dropout: float = 0.0,
        parts: Parts = "both",
        use_masks: bool = True,
        use_season: bool = True,
    ) -> None:
        super().__init__()
        if len(names) != n_in:
            raise ValueError(f"{len(names)} names of planes for {n_in} planes")
        if parts not in ("both", "radar", "optical"):
            raise ValueError(f"parts is {parts!r}; it is 'both', 'radar' or 'optical'")
        self.names = tuple(names)
        quantities = {"radar": ("vv", "vh", "age"), "optical": ("lai", "age")}
        rate = encoder_dropout if parts == "both" else dropout
        self.encoders = nn.ModuleDict(
            {
                part: Encoder(Front(names, seen, use_masks, use_season), widths, n_out, rate)
                for part, seen in quantities.items()
                if parts in ("both", part)
            }
        )
        trunks = [_trunk(encoder) for encoder in self.encoders.values()]
        self.decoder = UNet(2 * widths[0], n_out, decoder_widths, dropout) if parts == "both" else None
        unets = trunks if self.decoder is None else [*trunks, self.decoder]
        self.sites: tuple[Site, ...] = tuple(site for unet in unets for site in unet.sites)
        self.stride = max(unet.stride for unet in unets)
        self.radius = _radius([len(widths)] if self.decoder is None else [len(decoder_widths), len(widths)], self.stride)

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, n_in, y, x), y and x multiples of the stride → (batch, n_out, y, x), m² m⁻²."""
        return self.forward_all(x, masks)[0]

    def forward_all(self, x: Tensor, masks: Masks | None = None) -> tuple[Tensor, ...]:
        """Give the answers of the decoder and of both encoders, for intermediate supervision; of one encoder alone its own.

        x: (batch, n_in, y, x) → each (batch, n_out, y, x), m² m⁻².
        """
        *given, last = self._shared(masks)
        if self.decoder is None:
            (encoder,) = self.encoders.values()
            return (encoder(x, last)[1] * LAI_SCALE,)
        done = [encoder(x, one) for encoder, one in zip(self.encoders.values(), given, strict=True)]
        both = self.decoder(torch.cat([features for features, _ in done], 1), last)
        return (both * LAI_SCALE, *(answer * LAI_SCALE for _, answer in done))

    def _shared(self, masks: Masks | None) -> list[Masks | None]:
        """Give each U-Net its masks, encoders first."""
        unets = [_trunk(e) for e in self.encoders.values()] + ([] if self.decoder is None else [self.decoder])
        left = iter(masks or [None] * len(self.sites))
        return [[next(left) for _ in unet.sites] for unet in unets]

    def freeze(self, dtype: torch.dtype = torch.float32) -> FoldedFusion:
        """Give the network with normalisation folded into its convolutions, and thinned for each sample."""
        return FoldedFusion(self, dtype)


def _radius(levels: Sequence[int], stride: int) -> int:
    """Give how far U-Nets of so many levels see, each of the answers of the next: less than the sum, as they lie on one grid."""
    far = 0
    for pixel in range(stride):
        ends = pixel, pixel
        for n_levels in levels:
            ends = reads(*ends, n_levels)
        far = max(far, pixel - ends[0], ends[1] - pixel)
    return far


def _trunk(encoder: nn.Module) -> UNet:
    trunk = encoder.trunk
    assert isinstance(trunk, UNet)
    return trunk


class FoldedFusion:
    """The network ready to run; nothing in it changes, so threads share it."""

    def __init__(self, network: Fusion, dtype: torch.dtype) -> None:
        self.dtype = torch.float32
        encoders = list(network.encoders.values())
        self.fronts = [cast(Front, copy.deepcopy(encoder.front)).float().eval() for encoder in encoders]
        trunks = [_trunk(encoder) for encoder in encoders]
        self.trunks = [FoldedUNet(list(t.down), list(t.up), t.head, dtype) for t in trunks]
        decoder = network.decoder
        self.decoder = None if decoder is None else FoldedUNet(list(decoder.down), list(decoder.up), decoder.head, dtype, dtype)
        self.ends = [0, *accumulate(len(t.sites) for t in trunks), len(network.sites)]

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, channel, y, x), float32 → (batch, output, y, x), float32, m² m⁻²; nothing dropped."""
        if self.decoder is None:
            return self.trunks[0].once(self.fronts[0](x)) * LAI_SCALE
        seen = [trunk.features(front(x), trunk.plain) for front, trunk in zip(self.fronts, self.trunks, strict=True)]
        return self.decoder.once(torch.cat(seen, 1)) * LAI_SCALE

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks, what samples have in common computed once."""
        if self.decoder is None:
            alone = self.trunks[0].sampler(masks)
            return lambda x: (one * LAI_SCALE for one in alone(self.fronts[0](x)))
        *given, last = [[one[a:b] for one in masks] for a, b in pairwise(self.ends)]
        if all(mask is None for part in given for one in part for mask in one):
            return self._of_decoder(self.decoder.sampler(last))
        networks = [[trunk.thinned(one) for one in part] for trunk, part in zip(self.trunks, given, strict=True)]
        decoders = [self.decoder.thinned(one, _joined(*ends)) for one, *ends in zip(last, *given, strict=True)]
        return partial(self._samples, networks, decoders)

    def _of_decoder(self, sample: Sampler) -> Sampler:
        """Give samples that differ in the decoder only: the encoders run once."""
        pairs = list(zip(self.fronts, self.trunks, strict=True))
        return lambda x: (one * LAI_SCALE for one in sample(torch.cat([t.features(f(x), t.plain) for f, t in pairs], 1)))

    def _samples(self, networks: list[list[Thinned]], decoders: list[Thinned], x: Tensor) -> Iterator[Tensor]:
        streams = [featured(front(x), thinned) for front, thinned in zip(self.fronts, networks, strict=True)]
        for network, *seen in zip(decoders, *streams, strict=True):
            yield answer(next(featured(torch.cat(seen, 1), [network])), network) * LAI_SCALE


def _joined(*masks: Masks) -> Tensor | None:
    """Give the mask of features put together: that of each encoder's last block."""
    last = [one[-1] for one in masks]
    return None if all(mask is None for mask in last) else torch.cat([cast(Tensor, mask) for mask in last], 1)
