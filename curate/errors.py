"""Every error that a user can meet, each saying what was found, what was expected and what to do."""

from __future__ import annotations


class CurateError(Exception):
    """Base of all errors that curate raises on purpose; the CLI prints it and exits with `exit_code`.

    Parameters
    ----------
    found : what was seen, in the user's words (a path, a column, a count)
    expected : what would have been right; empty when it goes without saying
    do : what to type or change next; empty when `found` says it all
    """

    exit_code = 1

    def __init__(self, found: str, expected: str = "", do: str = "") -> None:
        self.found, self.expected, self.do = found, expected, do
        lines = [found]
        if expected:
            lines.append(f"expected: {expected}")
        if do:
            lines.append(f"to do: {do}")
        super().__init__("\n".join(lines))


class WrongUsage(CurateError):
    """An option says nothing that can be understood."""

    exit_code = 2


class InputError(CurateError, ValueError):
    """An array, table or path given to the Python API can't be what it is given as."""


class SourceError(CurateError):
    """The image folder or the manifest can't be read as a labelled data set."""


class AnnotationError(CurateError):
    """The annotations file can't be read, or does not fit the images."""


class SplitError(CurateError):
    """The wished splits can't be made from these samples."""


class DecodeError(CurateError):
    """One image can't be decoded. Becomes a row with `status` and `error`, never a crash.

    `status` is one of `curate.schema.STATUSES`.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ModelError(CurateError):
    """The embedding model is unknown, or its weights can't be had."""


class NotEnoughData(CurateError):
    """A stage needs more samples, classes or labels than there are."""


class SchemaError(CurateError):
    """A table lacks a column, or a column has the wrong type or range."""


class WorkspaceError(CurateError):
    """The workspace is missing, not writable, or of another version."""


class DamagedFile(WorkspaceError):
    """A file of the workspace is not what curate wrote: cut off, overwritten, or changed by hand."""


class WorkspaceBusy(WorkspaceError):
    """Another curate process is writing to this workspace."""


class StaleVersion(WorkspaceError):
    """The images of a version are no longer those that it was made of."""


class StageMissing(WorkspaceError):
    """A stage is asked for whose inputs have not been made yet."""


class StageStale(WorkspaceError):
    """What a stage found is asked for, but the files that it looked at have changed since."""


class LedgerError(CurateError):
    """A decision can't be recorded or undone."""


class ReviewError(CurateError):
    """The App can't be opened, or can't do what was asked of it."""


class PolicyError(CurateError):
    """The decisions can't be applied as asked (for example, a class would be emptied)."""


class ExportError(CurateError):
    """A version can't be written where asked."""
