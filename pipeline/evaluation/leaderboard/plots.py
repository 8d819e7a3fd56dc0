"""The card's pictures, as SVG text that is the same for the same figures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluation.leaderboard.results import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"row": "#d1495b", "clip": "#edae49", "donor": "#00798c"}
PROTOCOL_WORDS = {"row": "rows at random", "clip": "clips at random", "donor": "donors apart"}


class Sheet:
    """A matplotlib figure that ends up as SVG text in :attr:`svg`."""

    svg: str = ""
    axes: np.ndarray
    figure: Figure


@contextmanager
def _sheet(columns: int = 1, width: float = 6.4, height: float = 3.6) -> Iterator[Sheet]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "crylens", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with pyplot.rc_context(style):
        sheet = Sheet()
        sheet.figure, axes = pyplot.subplots(1, columns, figsize=(width, height), squeeze=False)
        sheet.axes = axes[0]
        for axis in sheet.axes:
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25)
        try:
            yield sheet
            sheet.figure.tight_layout()
            buffer = io.StringIO()
            sheet.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            sheet.svg = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
        finally:
            pyplot.close(sheet.figure)


def reasons(reports: Mapping[str, Report], figure: str, title: str) -> str:
    """Each model's figure under each protocol, with its interval: the gap is the leak."""
    names = sorted(
        reports,
        key=lambda n: (
            reports[n]["protocols"].get("row", {}).get("figures", {}).get(figure, {}).get("value", 0)
        ),
    )
    with _sheet(height=0.9 + 0.42 * len(names)) as sheet:
        axis: Axes = sheet.axes[0]
        for k, protocol in enumerate(COLOURS):
            held = [(i, reports[n]["protocols"][protocol]["figures"][figure]) for i, n in enumerate(names)
                    if protocol in reports[n]["protocols"]]  # fmt: skip
            if not held:
                continue
            x = np.array([f["value"] for _, f in held])
            spread = np.abs(np.array([[f["low"], f["high"]] for _, f in held]).T - x)
            y = np.array([i for i, _ in held]) + 0.22 * (1 - k)
            axis.errorbar(
                x, y, xerr=spread, fmt="o", color=COLOURS[protocol], label=PROTOCOL_WORDS[protocol], capsize=2
            )
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel(title)
        axis.set_xlim(0, 1)
        axis.legend(loc="lower right", frameon=False)
    return sheet.svg


def confusions(report: Report, protocols: tuple[str, str] = ("row", "donor")) -> str:
    """Two confusion matrices side by side, as shares of each true class."""
    classes = list(report["classes"])
    with _sheet(2, width=8.2, height=3.9) as sheet:
        for axis, protocol in zip(sheet.axes, protocols, strict=True):
            table = np.array(report["protocols"][protocol]["confusion"], float)
            shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-9)
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            axis.grid(False)
            for (i, j), share in np.ndenumerate(shares):
                axis.text(
                    j, i, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black"
                )
            axis.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
            axis.set_yticks(range(len(classes)), classes)
            axis.set_title(PROTOCOL_WORDS[protocol])
            axis.set_xlabel("said")
        sheet.axes[0].set_ylabel("tagged")
    return sheet.svg


def reliability(rows_by_name: Mapping[str, list[Mapping[str, float]]], xlabel: str) -> str:
    """What was said against what happened; on the line, scores mean what they say."""
    with _sheet(width=4.6, height=4.0) as sheet:
        axis: Axes = sheet.axes[0]
        axis.plot([0, 1], [0, 1], color="#888", lw=1, ls="--")
        for name, rows in rows_by_name.items():
            axis.plot([r["score"] for r in rows], [r["share"] for r in rows], marker="o", ms=3, label=name)
        axis.set(xlabel=xlabel, ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
        axis.legend(frameon=False)
    return sheet.svg


def detection_curves(reports: Mapping[str, Report], suite: str) -> str:
    """ROC on a logarithmic axis, and precision against recall."""
    with _sheet(2, width=8.6, height=3.7) as sheet:
        roc, pr = sheet.axes
        plain_told = "yamnet-class" in reports
        for name, report in reports.items():
            curves = (report.get("curves") or {}).get(suite)
            if not curves:
                continue
            who = [("ours", name)]
            if "plain_recall" in curves and not plain_told:
                who.append(("plain", "yamnet-class"))
                plain_told = True
            for key, label in who:
                rates = np.maximum(curves["false_positive_rate"], 5e-4)
                roc.plot(rates, curves[f"{key}_recall"], label=label, drawstyle="steps-post")
                pr.plot(curves["recall"], curves[f"{key}_precision"], label=label)
        roc.set(xscale="log", xlabel="false positive rate (left edge: none)", ylabel="recall", ylim=(0, 1.01))
        pr.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
        roc.legend(frameon=False, loc="lower right")
    return sheet.svg


def recall_by_snr(reports: Mapping[str, Report], figure: str = "recall_at_0.01") -> str:
    """Recall at 1 % false positives over household sound and over white noise, by SNR."""
    with _sheet(2, width=8.2, height=3.3) as sheet:
        for axis, what in zip(sheet.axes, ("background", "white noise"), strict=True):
            plain_told = "yamnet-class" in reports
            for name, report in reports.items():
                found = _by_snr(report, what)
                if not found:
                    continue
                who = [("ours", name)] + ([] if plain_told else [("plain", "yamnet-class")])
                for key, label in who:
                    if key in found[0][1]:
                        values = [s[key][figure]["value"] for _, s in found]
                        axis.plot([snr for snr, _ in found], values, marker="o", label=label)
                plain_told = True
            axis.set(title=what, xlabel="SNR, dB", ylim=(0, 1))
        sheet.axes[0].set_ylabel("recall at 1 % false positives")
        sheet.axes[1].legend(frameon=False)
    return sheet.svg


def _by_snr(report: Report, what: str) -> list[tuple[float, Mapping[str, Any]]]:
    """(SNR, suite) of one kind of background, by SNR."""
    return sorted(
        (float(name.removeprefix(f"{what}, ").removesuffix(" dB")), suite)
        for name, suite in report["suites"].items()
        if name.startswith(f"{what}, ") and name.endswith(" dB")
    )


def night_trade_off(reports: Mapping[str, Report]) -> str:
    """Missed episodes against false alerts, over all thresholds; the dot is the model's own threshold."""
    with _sheet(width=6.4, height=4.2) as sheet:
        axis: Axes = sheet.axes[0]
        for name, report in reports.items():
            curve = report.get("curve") or []
            alerts = np.maximum([p["false_alerts_per_24h"] for p in curve], 0.3)
            missed = [1 - p["episode_recall"] for p in curve]
            (line,) = axis.plot(alerts, missed, label=name, lw=1.3)
            own = report["figures"]
            axis.plot(
                max(own["false_alerts_per_24h"]["value"], 0.3),
                1 - own["episode_recall"]["value"],
                marker="o",
                color=line.get_color(),
            )
        axis.set(
            xscale="log",
            xlabel="false alerts per 24 h (left edge: none)",
            ylabel="episodes missed",
            ylim=(-0.02, 1.02),
        )
        axis.legend(frameon=False)
    return sheet.svg


def training_curves(history_by_name: Mapping[str, list[Mapping[str, float]]]) -> str:
    """Loss and validation figures while a network learned."""
    with _sheet(len(history_by_name), width=4.3 * len(history_by_name), height=3.2) as sheet:
        for axis, (name, history) in zip(sheet.axes, history_by_name.items(), strict=True):
            for key in ("loss", "val_loss", "val_macro_f1"):
                points = [(r["epoch"], r[key]) for r in history if r.get(key) is not None]
                if points:
                    axis.plot(*zip(*points, strict=True), label=key.replace("_", " "))
            axis.set(title=name, xlabel="epoch")
            axis.legend(frameon=False)
    return sheet.svg
