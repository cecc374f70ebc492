"""What a job did."""

import copy
from html import escape
from typing import Any


class Report:
    """What a job wrote, or would write. Prints as a line, shows as a table in notebooks."""

    input: str
    """What was read."""
    output: str | None
    """The file that was written, the first if there are several; None for a dry run."""
    recipe: str | None
    """The recipe, or the output type of a conversion."""
    tensors: list[dict[str, Any]]
    """For each tensor of the output: name, shape, from, to, bytes_in, bytes_out."""
    elements: int
    """Weights in all tensors together."""
    bytes_in: int
    """Bytes of the tensors as the input stores them."""
    bytes_out: int
    """Bytes of the tensors in the output."""
    file_bytes: int
    """Length of the output, of all files together."""
    files: list[dict[str, Any]]
    """For each file of the output: path, tensors (their number), bytes."""
    bits_per_weight: float
    """Bits that a weight takes in the output on average."""
    notes: list[str]
    """What one should know: fallbacks taken, things left alone."""
    seconds: float | None
    """Wall time; None for a dry run."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        for name in Report.__annotations__:
            setattr(self, name, data[name])

    def to_dict(self) -> dict[str, Any]:
        """Everything that is known, as the command's ``--json`` prints it."""
        return copy.deepcopy(self._data)

    def __repr__(self) -> str:
        return f"<Report {self._summary()}>"

    def _summary(self) -> str:
        time = "dry run" if self.seconds is None else f"{self.seconds:.2f} s"
        sizes = f"{_size(self.bytes_in)} -> {_size(self.bytes_out)}"
        return (
            f"{self.input} -> {self.output} ({self.recipe}): {len(self.tensors)} tensors, {sizes}, "
            f"{self.bits_per_weight:.2f} bits per weight, {time}"
        )

    def _repr_html_(self) -> str:
        columns = ["name", "shape", "from", "to", "bytes_in", "bytes_out"]
        head = "".join(f"<th>{column}</th>" for column in columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(str(row[c]))}</td>" for c in columns) + "</tr>"
            for row in self.tensors
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            f"<p>{escape(self._summary())}</p>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
