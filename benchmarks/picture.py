"""Draw the picture at the top of README: ``python -m benchmarks.picture [notebooks/front.png]``."""

from __future__ import annotations

import sys

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

import xsentinel as xs


def say(ax: Axes, text: str) -> None:
    """Put the line of code that draws a panel where its title was."""
    ax.set_title("", loc="left")
    ax.set_title(text, loc="left", family="monospace", fontsize=10)


def main(path: str = "notebooks/front.png") -> None:
    """Draw six panels, each by one line of the package's."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained")
    zurich = xs.sample("zurich", resolution=20)
    maps = zurich.s2.mask_clouds(classes=(), mask=zurich.B02 > 0.17).s2.lai(model="unet", samples=30)
    say(zurich.s2.plot.rgb(ax=axes[0, 0]), "cube.s2.plot.rgb()")
    say(maps.s2.plot.map("lai", ax=axes[0, 1], vmin=0, vmax=6), 'cube.s2.lai(model="unet", samples=30)')
    say(maps.s2.plot.map("lai_std", ax=axes[0, 2], vmin=0, vmax=0.06), '… .s2.plot.map("lai_std")')

    land = xs.simulate.landscape((256, 256), "2018", seed=11, latitude=47.0)
    clear = land.cube.s2.mask_clouds(dilate=60)
    cover = clear.s2.landcover("landcover-simulated")
    share = land.cube.s2.clear_share()
    some = int(abs(share - 0.7).argmin())
    say(land.cube.s2.plot.rgb(ax=axes[1, 0], clouds=True, time=some), "cube.s2.plot.rgb(clouds=True)  # simulated land")
    say(cover["class"].s2.plot.map(ax=axes[1, 1]), 'cube.s2.landcover("landcover-simulated")')

    filled = xs.sample("romania").s2.mask_clouds(dilate=60).s2.fill_gaps("linear", freq="5D")
    say(filled.s2.plot.series("B08", pixel=(30, 30), ax=axes[1, 2]), 'cube.s2.fill_gaps("linear", freq="5D")')
    figure.savefig(path, dpi=75)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)  # a third of the bytes
    print(f"drew {path}; {float(np.mean(cover['class'] == land.truth['class'])):.0%} of the simulated pixels are mapped right")


if __name__ == "__main__":
    main(*sys.argv[1:])
