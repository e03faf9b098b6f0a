"""The curve of a pair report as a picture: precision over recall, and both over the threshold."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from sscd_cli.errors import SscdError, UsageError
from sscd_cli.evaluation.pair_report import WANTED_PRECISIONS, PairReport, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_STEPS = 500  # thresholds at which the second picture is drawn
_INK, _FAINT, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_BLUE, _GREEN, _RED = "#1d6fb8", "#2f9e63", "#d64545"
_LABEL: Any = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
_STYLE: Any = {
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "svg.hashsalt": "sscd",  # ids in the file that do not change from run to run
}


def check_plots(suffixes: list[str]) -> None:
    """Raise unless pictures of these endings can be drawn.

    Raises: UsageError: another ending than .png or .svg. SscdError: matplotlib is missing.
    """
    for suffix in suffixes:
        if suffix.lower().removeprefix(".") not in FORMATS:
            kind = repr(suffix) if suffix else "a file without suffix"
            raise UsageError(f"--plot cannot draw {kind}", "use .png or .svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        fix = "pip install 'sscd-cli[plot]'"
        raise SscdError("a plot needs matplotlib", fix) from error


def draw(report: PairReport, chosen: Point, chosen_by: str, *, title: str, format: str) -> bytes:
    """Return the picture, the same bytes for the same report and matplotlib.

    format: "png" (1,650 x 750 pixels) or "svg".
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 5), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", color=_FAINT, fontsize=10)
        _draw_precision_over_recall(figure, report, chosen, chosen_by)
        _draw_over_thresholds(figure, report, chosen)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(buffer, format=format, dpi=150, metadata=metadata)
    return buffer.getvalue()


def _draw_precision_over_recall(
    figure: Figure, report: PairReport, chosen: Point, chosen_by: str
) -> None:
    axes = figure.add_subplot(1, 2, 1)
    _frame(axes, "Precision over recall", "recall", "precision")
    axes.set_xlim(0, 1.02)
    _draw_f1_lines(axes)
    precisions, recalls, _ = report.curve
    axes.plot([0, *recalls], [precisions[0], *precisions], color=_BLUE, linewidth=2, zorder=3)
    _mark_precisions(axes, report)
    if chosen.precision is None or chosen.recall is None:
        return
    dot: Any = {"color": _RED, "markersize": 9, "markeredgecolor": "white", "zorder": 5}
    axes.plot(chosen.recall, chosen.precision, "o", **dot)
    text = (
        f"threshold {chosen.threshold:.3g} ({chosen_by})\n"
        f"precision {chosen.precision:.3f}, recall {chosen.recall:.3f}"
    )
    axes.text(0.04, 0.06, text, transform=axes.transAxes, color=_RED, bbox=_LABEL, zorder=6)


def _mark_precisions(axes: Axes, report: PairReport) -> None:
    """Put a dot where each of the wanted precisions is reached with the most recall."""
    labels: dict[tuple[float, float], list[str]] = {}
    for precision in WANTED_PRECISIONS:
        point = report.at_precision(precision)
        if point and point.recall is not None and point.precision is not None:
            place = point.recall, point.precision
            labels.setdefault(place, []).append(f"{100 * precision:.0f}")
    for place, percents in labels.items():
        axes.plot(*place, "o", color=_BLUE, markersize=5, zorder=4)
        axes.annotate(
            f"{', '.join(percents)} %",
            place,
            xytext=(5, 4),
            textcoords="offset points",
            color=_BLUE,
            fontsize=8,
            annotation_clip=False,
        )


def _draw_f1_lines(axes: Axes) -> None:
    """Draw where F1 is 0.5, 0.6 … 0.9."""
    for f1 in (0.5, 0.6, 0.7, 0.8, 0.9):
        recall = np.linspace(f1 / (2 - f1), 1, 100)
        precision = f1 * recall / (2 * recall - f1)
        axes.plot(recall, precision, color=_GRID, linewidth=1, zorder=1)
        axes.text(1.03, precision[-1], f"F1 {f1:.1f}", color=_FAINT, fontsize=7, va="center")


def _draw_over_thresholds(figure: Figure, report: PairReport, chosen: Point) -> None:
    axes = figure.add_subplot(1, 2, 2)
    _frame(axes, "At each threshold", "threshold", "")
    highest = float(report.scores.max())
    lowest = min(float(report.curve[2][-1]), chosen.threshold)
    points = [report.at(t) for t in np.linspace(lowest, highest, _STEPS).tolist()]
    thresholds = [point.threshold for point in points]
    for name, values, colour, style in (
        ("precision", [point.precision for point in points], _BLUE, "-"),
        ("recall", [point.recall for point in points], _GREEN, "-"),
        ("F1", [point.f1 for point in points], _FAINT, "--"),
    ):
        drawn = np.array(values, np.float64)  # None, where nothing is accepted, becomes a gap
        axes.plot(thresholds, drawn, style, color=colour, linewidth=2, label=name)
    axes.axvline(chosen.threshold, color=_RED, linewidth=1)
    axes.annotate(
        f"{chosen.threshold:.3g}",
        (chosen.threshold, 1.02),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color=_RED,
        annotation_clip=False,
    )
    axes.legend(loc="lower center", ncols=3, edgecolor="none", framealpha=0.9)


def _frame(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, pad=18)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(0, 1.02)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
