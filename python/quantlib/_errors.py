"""The exceptions. Each says what is wrong and what to do, and names what it concerns."""


class Error(Exception):
    """The base of everything that quantlib raises on its own account."""

    file: "str | None" = None
    """The file that the error concerns."""
    tensor: "str | None" = None
    """The tensor that the error concerns."""
    key: "str | None" = None
    """The metadata key that the error concerns."""

    def __str__(self) -> str:
        # OSError would put `errno` before the sentence, which has the system's words already.
        return Exception.__str__(self)


class IoError(Error, OSError):
    """The operating system refused: a missing file, a full disk, a lost permission."""


class MalformedError(Error, ValueError):
    """A file does not follow its format."""


class MisuseError(Error, ValueError):
    """An argument that cannot work: a wrong shape, an unknown name."""


class UnsupportedError(Error, NotImplementedError):
    """The input is fine, but nothing here can do this with it."""


class LimitError(Error, MemoryError):
    """A file asks for more than is reasonable, or a job for more memory than it may use."""


class Cancelled(Error):
    """The work was stopped before its end; no output was written."""


for _class in (Error, *Error.__subclasses__()):
    _class.__module__ = "quantlib"
