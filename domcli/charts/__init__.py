"""Charts as values: describe one, draw it as text of any size, or write it as an SVG. NumPy only.

    from domcli.charts import Axis, Chart, Mark, Series, Target, draw, to_svg

    natural = Series("natural", epochs, accuracy, colour=0).smoothed(0.6)
    robust = Series("PGD-20", epochs, pgd, colour=0, line="dashed")
    chart = Chart((natural, robust), y=Axis("percent"), title="Test accuracy", cursor=104,
                  marks=(Mark(100, "DOM on"),), targets=(Target(0.525, "paper"),))
    picture = draw(chart, 80, 20)              # the same chart gives the same picture
    for row in picture.rows:                   # one Textual strip a row; colours(style) is the caller's
        strip = Strip([Segment(text, colours(style)) for text, style in row])
    x = picture.plot.x_at(mouse_column)        # from the mouse to the data; see also snap, value_at, pan, zoom
    document = to_svg(chart, 800, 450)

`series` and `chart` say what is shown, `axis` and `limits` over which values; `reduce` keeps what pixels can show,
`raster` makes it dots, `frame`, `stacked` and `draw` make them a `picture` of characters; `svg` draws lines instead.
"""

from domcli.charts.axis import Axis, Limits, written
from domcli.charts.chart import Chart, Mark, Stack, Target, shares_at, snap, value_at
from domcli.charts.draw import draw, legend
from domcli.charts.limits import pan, steady_limits, zoom
from domcli.charts.picture import Picture, Plot, Span, Style
from domcli.charts.series import FARTHEST, Key, Line, Series, mean_with_band, smooth, stepped
from domcli.charts.svg import to_svg
from domcli.charts.themes import DARK, LIGHT, Theme

__all__ = [
    "DARK",
    "FARTHEST",
    "LIGHT",
    "Axis",
    "Chart",
    "Key",
    "Limits",
    "Line",
    "Mark",
    "Picture",
    "Plot",
    "Series",
    "Span",
    "Stack",
    "Style",
    "Target",
    "Theme",
    "draw",
    "legend",
    "mean_with_band",
    "pan",
    "shares_at",
    "smooth",
    "snap",
    "steady_limits",
    "stepped",
    "to_svg",
    "value_at",
    "written",
    "zoom",
]
