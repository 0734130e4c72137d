"""The panel beside the grid: the question, how far the review has come, and whether to go on."""

from __future__ import annotations

import math
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from curate.issues.kinds import KEEP_ONE
from curate.review.app.session import AppSession, current
from curate.review.forecast import Forecast
from curate.text import for_markdown

Context = Any  # fiftyone.operators.ExecutionContext

KEYS = (("accept", "Accept"), ("keep", "Keep"), ("relabel", "Relabel"))
MORE_KEYS = (("drop", "Drop"), ("unsure", "Unsure"), ("undo", "Undo"))
GROUP_KEYS = (("keep_one", "Keep this copy"), ("keep_all", "Keep all"), ("labels_conflict", "Labels conflict"))
FORMS = ("relabel", "labels_conflict", "settle")


class Progress(foo.Panel):  # type: ignore[misc]
    """Progress, precision so far, what to expect, and buttons for the same verdicts as the keys."""

    @property
    def config(self) -> Any:
        return foo.PanelConfig(
            name="review_progress", label="Review", icon="fact_check", surfaces="grid modal", help_markdown=HELP
        )

    def on_load(self, ctx: Context) -> None:
        pass  # render does it all

    def on_change_selected(self, ctx: Context) -> None:
        pass

    def on_change_current_sample(self, ctx: Context) -> None:
        pass

    def on_change_view(self, ctx: Context) -> None:
        pass

    def act(self, ctx: Context) -> None:
        name = ctx.params["verdict"]
        uri = f"@curate/review/{name}"
        if name in FORMS:
            ctx.prompt(uri)
        else:
            ctx.trigger(uri)

    def render(self, ctx: Context) -> Any:
        app_session, panel = current(), types.Object()
        names = app_session.names([ctx.current_sample] if ctx.current_sample else ctx.selected)
        text = question_text(app_session, names)
        panel.md(text, name=f"question_{abs(hash(text))}")
        _buttons(panel, KEYS, self.act)
        _buttons(panel, MORE_KEYS, self.act)
        if names and _in_group(app_session, names[0]):
            _buttons(panel, GROUP_KEYS, self.act)
        if names and len(set(app_session.session.votes(names[0]))) > 1:
            _buttons(panel, (("settle", "Settle as third annotator"),), self.act)
        counts = app_session.session.counts()
        ahead = progress_text(app_session.forecast(), counts, app_session.session.reviewer, app_session.decided)
        panel.md(ahead, name=f"ahead_{abs(hash(ahead))}")
        _buttons(panel, (("next_batch", "Next batch"),), self.act)
        return types.Property(panel, view=types.GridView(orientation="vertical", gap=1, pad=2))


def _buttons(panel: Any, verdicts: Any, on_click: Any) -> None:
    row = panel.h_stack("row_" + verdicts[0][0], gap=1, wrap=True)
    for name, label in verdicts:
        row.btn(name, label=label, on_click=on_click, params={"verdict": name}, variant="outlined")


def _in_group(app_session: AppSession, name: str) -> bool:
    row = app_session.session.question(name, KEEP_ONE)
    return row is not None and row["issue"] in KEEP_ONE and len(app_session.session.entry(row)) > 1


def question_text(app_session: AppSession, names: list[str]) -> str:
    """What is asked about the chosen sample, and why."""
    if not names:
        return "**Select a tile or open one**, then decide: Alt + the first letter."
    if len(names) > 1:
        return f"**{len(names)} samples selected.** One verdict for all; one undo takes it back."
    row = app_session.session.question(names[0])
    verdict = app_session.session.last_verdicts(names).get(names[0])
    lines = [f"**{for_markdown(names[0])}**"]
    if row:
        lines.append(for_markdown(row["reason"]))
        lines += _members(app_session, row)
    else:
        lines.append("no open question")
    if votes := app_session.session.votes(names[0]):
        lines.append(f"annotators: {', '.join(map(for_markdown, votes))}")
    if verdict:
        lines.append(f"decided: **{verdict['action']}** by {for_markdown(verdict['reviewer'])}")
    return "\n\n".join(lines)


def _members(app_session: AppSession, row: Any) -> list[str]:
    """Of a duplicate group: every copy, what is proposed for it, and why that one is to stay."""
    members = app_session.session.entry(row)
    if row["issue"] not in KEEP_ONE or len(members) < 2:
        return []
    lines = [
        f"- {m['proposed_action']} {for_markdown(m['sample_id'])} ({for_markdown(m['label'])}): "
        + for_markdown(m["reason"])
        for m in members
    ]
    return ["\n".join(lines)]


def progress_text(ahead: Forecast, counts: dict[str, int], reviewer: str, decided: int) -> str:
    """The state of the review: advice, what is left, the counts, and a line per issue."""
    lines = [f"**{ahead.advice}**"]
    if ahead.n_open:
        lines.append(
            f"Open: {ahead.n_open:,}. Real among them: about {ahead.expected:,.0f}, "
            f"with 90% confidence {ahead.low:,.0f} to {ahead.high:,.0f}."
        )
    said = " · ".join(f"{action} {n:,}" for action, n in counts.items())
    lines.append(
        f"Verdicts: {said or 'none yet'}. In this sitting {for_markdown(reviewer)} decided on {decided:,} samples."
    )
    rows = [_issue_line(row) for row in ahead.by_issue.to_dict("records")]
    return "\n\n".join([*lines, "\n".join(rows)])


def _issue_line(row: Any) -> str:
    line = f"- **{str(row['issue']).replace('_', ' ')}**: {row['open']:,} open, about {row['expected']:,.0f} real"
    if math.isnan(row["precision"]):
        return line
    return (
        f"{line}; {row['right']:,} of {row['judged']:,} judged were right "
        f"({row['precision']:.0%}, {row['precision_low']:.0%} to {row['precision_high']:.0%})"
    )


HELP = """
Alt+A accept · Alt+K keep · Alt+R relabel · Alt+D drop · Alt+U unsure · Alt+Z undo · Alt+N next batch.

Of duplicates: Alt+O keep this copy · Alt+L keep all · Alt+C labels conflict. Annotators differ: Alt+S settle.
"""
