"""Read the machine and the git commit from an experiment's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

__all__ = ["MACHINE_FIELDS", "Machine", "read_machine"]

MACHINE_FIELDS = ("host", "gpu", "branch", "commit")
# the names that SDKs before 0.8 use for kinds of accelerators
_KINDS = ("gpu", "npu", "mlu", "xpu", "dcu", "gcu")


class Machine(NamedTuple):
    """The machine and the git commit of an experiment.

    `gpus` contains the names of the accelerators, or is `None` if the metadata do not include the hardware.
    """

    host: str | None = None
    gpus: Sequence[str] | None = None
    branch: str | None = None
    commit: str | None = None

    def read(self, field: str) -> Any:
        """Return the value of a field in `MACHINE_FIELDS`, listing identical GPU names only once."""
        if field == "gpu":
            return list(dict.fromkeys(self.gpus)) if self.gpus else None
        return getattr(self, field)


def read_machine(metadata: Any) -> Machine:
    """Read the metadata of an experiment from any SDK version. Unknown values are `None`."""
    whole = _to_object(metadata)
    runtime, git, hardware = (_to_object(whole.get(name)) for name in ("runtime", "git", "hardware"))
    info = whole.get("git_info")
    old = [str(one) for one in cast("list[Any]", info)] if isinstance(info, list) else []
    branch, commit = old if len(old) == 2 else (None, None)
    return Machine(
        _to_text(runtime.get("hostname") or whole.get("hostname")),
        _read_devices(hardware) if hardware else _read_old_devices(whole),
        _to_text(git.get("branch")) or branch,
        _to_text(git.get("commit")) or commit,
    )


def _read_devices(hardware: Mapping[str, Any]) -> list[str]:
    vendors = hardware.get("accelerators")
    listed = cast("list[Any]", vendors) if isinstance(vendors, list) else []
    devices = [device for one in listed for device in _to_list(_to_object(one).get("devices"))]
    return [_to_text(_to_object(one).get("name")) or "GPU" for one in devices]


def _read_old_devices(whole: Mapping[str, Any]) -> list[str] | None:
    found: list[str] = []
    for vendor in (_to_object(one) for kind in _KINDS for one in _to_object(whole.get(kind)).values()):
        names = [str(one) for one in _to_list(vendor.get("type"))]
        count = vendor.get("cores")
        # if a vendor reports no names, it reports the number of devices
        found += names or ["GPU"] * (count if isinstance(count, int) and 0 < count < 1024 else 0)
    if found or "cpu" in whole or "memory" in whole:
        return found
    return None


def _to_object(value: Any) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _to_list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value] if isinstance(value, str) else []


def _to_text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
