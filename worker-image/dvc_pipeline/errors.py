"""The one error of the tasks."""


class PipelineError(Exception):
    """Why a task cannot do its job: one line for the task's log, without credentials."""
