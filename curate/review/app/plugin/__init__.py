"""The App's operators and panel: what keys, buttons and forms call. All they do is done by the sitting's desk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from curate.errors import CurateError
from curate.review.app.plugin.progress import Progress
from curate.review.app.session import AppSession, current, issues_of_view
from curate.review.session import ReviewSession

NOTHING = "Select a tile, or open one, first."
Context = Any  # fiftyone.operators.ExecutionContext


class Verdict(foo.Operator):  # type: ignore[misc]
    """An operator on the open sample, else on the selected ones."""

    name = ""
    label = ""
    icon = ""
    done = ""  # what the note says
    on_toolbar = False

    @property
    def config(self) -> Any:
        return foo.OperatorConfig(name=self.name, label=f"Review: {self.label}", icon=self.icon, **self.extra())

    def extra(self) -> dict[str, Any]:
        return {}

    def resolve_placement(self, ctx: Context) -> Any:
        if not self.on_toolbar:
            return None
        button = types.Button(label=self.label, icon=self.icon, prompt=bool(self.extra()))
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def execute(self, ctx: Context) -> None:
        app_session, names = current(), chosen(ctx)
        if not names:
            ctx.ops.notify(NOTHING, variant="warning")
            return
        issues = issues_of_view(ctx.request_params.get("view_name"))
        try:
            decided = self.verdict(ctx, app_session, names, issues)
        except CurateError as error:
            ctx.ops.notify(str(error.found), variant="error")
            raise
        show(ctx, f"{self.done}: {described(decided)}")

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        raise NotImplementedError


def chosen(ctx: Context) -> list[str]:
    """The sample that is open, else the selected ones."""
    return current().names([ctx.current_sample] if ctx.current_sample else ctx.selected)


def described(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} samples"


def show(ctx: Context, message: str, *, move_on: bool = True) -> None:
    """Let the grid show what has changed; it does not look by itself. From an open sample move on to the next.

    The grid is left alone while a sample is open: that would take away the arrows. keys.js does it on closing.
    """
    if not ctx.current_sample:
        ctx.ops.clear_selected_samples()
        ctx.ops.reload_dataset()
    elif move_on:
        ctx.trigger("@curate/review/next_sample")  # of keys.js
    ctx.ops.notify(message, variant="success")


class Accept(Verdict):
    name, label, icon, done, on_toolbar = "accept", "Accept the proposal (Alt+A)", "check", "Accepted", True

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        return app_session.decide(lambda session: session.accept(names, issues))


class Plain(Verdict):
    """Keep, drop, unsure."""

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        return app_session.decide(lambda session: session.decide(names, self.name, issues=issues))


class Keep(Plain):
    name, label, icon, done, on_toolbar = "keep", "Keep as it is (Alt+K)", "thumb_up", "Kept", True


class Drop(Plain):
    name, label, icon, done, on_toolbar = "drop", "Drop (Alt+D)", "delete", "Dropped", True


class Unsure(Plain):
    name, label, icon, done, on_toolbar = "unsure", "Unsure, ask again later (Alt+U)", "help", "Put off", True


class Labelling(Verdict):
    """A verdict that needs a class."""

    required = True

    def extra(self) -> dict[str, Any]:
        return {"dynamic": True}

    def resolve_input(self, ctx: Context) -> Any:
        names, inputs = chosen(ctx), types.Object()
        if not names:
            inputs.md(NOTHING, name="nothing")
            return types.Property(inputs, view=types.View(label=self.label))
        choices = types.AutocompleteView(allow_user_input=False)
        for name in likeliest_first(current().session, names):
            choices.add_choice(name, label=name)
        about = "the likeliest stand first"  # no name of a file: the App reads descriptions as Markdown
        inputs.enum("label", choices.values(), label="Class", description=about, required=self.required, view=choices)
        return types.Property(inputs, view=types.View(label=self.label))


class Relabel(Labelling):
    name, label, icon, done, on_toolbar = "relabel", "Relabel (Alt+R)", "label", "Relabelled", True

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        label = ctx.params.get("label")
        return app_session.decide(lambda session: session.decide(names, "relabel", label=label, issues=("label",)))


class Settle(Labelling):
    """The last word where annotators differ."""

    name, label, icon, done = "settle", "Settle as third annotator (Alt+S)", "gavel", "Settled"

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        label = str(ctx.params.get("label"))
        return app_session.decide(lambda session: [done for name in names for done in session.settle(name, label)])


class LabelsConflict(Labelling):
    """The copies of a group are called different things; without a class it is put off."""

    name, label, icon, done = "labels_conflict", "The copies' labels conflict (Alt+C)", "call_split", "Labels conflict"
    required = False

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        label = ctx.params.get("label") or None
        return app_session.decide(lambda session: session.labels_conflict(names[0], label))


class KeepOne(Verdict):
    name, label, icon, done = "keep_one", "Keep this copy, drop the others (Alt+O)", "filter_1", "Kept one copy of"

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        return app_session.decide(lambda session: session.keep_one(names[0]))


class KeepAll(Verdict):
    name, label, icon, done = "keep_all", "Keep all copies of the group (Alt+L)", "select_all", "Kept all of"

    def verdict(self, ctx: Context, app_session: AppSession, names: list[str], issues: tuple[str, ...]) -> list[str]:
        return app_session.decide(lambda session: session.keep_all(names[0]))


class Undo(Verdict):
    name, label, icon, on_toolbar = "undo", "Undo your last verdict (Alt+Z)", "undo", True

    def execute(self, ctx: Context) -> None:
        undone = current().undo()
        show(ctx, f"Taken back: {described(undone)}" if undone else "There is nothing to take back.", move_on=False)


class Ask(foo.Operator):  # type: ignore[misc]
    """Open the form of a verdict; what a key of such a verdict calls."""

    @property
    def config(self) -> Any:
        return foo.OperatorConfig(name="ask", label="Review: open a form", unlisted=True)

    def execute(self, ctx: Context) -> None:
        if chosen(ctx):
            ctx.prompt(f"@curate/review/{ctx.params['verdict']}")
        else:
            ctx.ops.notify(NOTHING, variant="warning")


class NextBatch(Verdict):
    name, label, icon, on_toolbar = "next_batch", "Next batch (Alt+N)", "skip_next", True

    def execute(self, ctx: Context) -> None:
        app_session = current()
        ids = app_session.next_batch()
        ctx.ops.clear_selected_samples()
        ctx.ops.set_view(view=app_session.dataset.select(ids, ordered=True))
        ctx.ops.notify(f"{len(ids)} samples to look at next" if ids else "Nothing is left to review.")


def likeliest_first(session: ReviewSession, names: list[str]) -> list[str]:
    """All classes; before the others what is suggested, what annotators said, and what the copies are called."""
    asked = [session.question(name) for name in names]
    likely = [row["suggested_label"] for row in asked if row]
    likely += [vote for name in names for vote in session.votes(name)]
    likely += [member["label"] for row in asked if row for member in session.entry(row)]
    return list(dict.fromkeys([*(label for label in likely if label in session.classes), *session.classes]))


OPERATORS: tuple[Callable[..., Any], ...] = (
    Accept, Keep, Relabel, Drop, Unsure, Undo, KeepOne, KeepAll, LabelsConflict, Settle, NextBatch, Ask, Progress,
)  # fmt: skip


def register(plugin: Any) -> None:
    """Called by FiftyOne."""
    for operator in OPERATORS:
        plugin.register(operator)
