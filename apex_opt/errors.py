"""Every way apexopt can fail, with the exit status of each, in one table."""


class ApexError(Exception):
    """A fault that is the user's to mend; its text is what they read, never a traceback."""

    exit_status = 2


class SpecError(ApexError):
    """The spec is wrong: every fault at once, one `file:line: key: why, what to write` a line."""


class TraceError(ApexError):
    """A trace file is wrong: `file:line: why`."""


class CallError(ApexError):
    """The call is wrong: an option, an argument or a file that cannot be used."""


class NotBuiltError(ApexError):
    """The spec asks for something that apexopt does not model yet, and says so."""


class InfeasibleError(ApexError):
    """It is proved that no plan meets the spec."""

    exit_status = 3


class UndecidedError(ApexError):
    """Neither a plan nor a proof was found in the time given."""

    exit_status = 4
