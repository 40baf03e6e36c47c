"""The state shared by the tools, resources and prompts of a running server."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.secret_masking import make_value_mask, mask_exactly, mask_secrets
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.confirmation import Confirmations
from swanlab_mcp.operations.hiding import Hide
from swanlab_mcp.server.accounts import caller
from swanlab_mcp.server.limits import Slots
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.operations.completion import Completer

__all__ = ["App"]

_LONGEST_NAME = 120  # in a view


@dataclass(frozen=True, eq=False)
class App:
    """The settings and clients of a running server.

    On a shared server, `client` is the client of the current caller. `waits` limits how many calls may wait for changes
    in SwanLab at once, and is None on a server for a single user.
    """

    settings: Settings
    confirmations: Confirmations = field(default_factory=Confirmations, repr=False)
    waits: Slots | None = None

    @cached_property
    def own_client(self) -> SwanLabClient:
        """The client for the server's own account and local runs. The first access opens it, to keep startup fast."""
        return open_client(self.settings, is_cached=self.settings.is_cached)

    @cached_property
    def own_completer(self) -> Completer:
        from swanlab_mcp.operations.completion import Completer  # noqa: PLC0415 needed only for completion

        return Completer(self.own_client)

    @property
    def client(self) -> SwanLabClient:
        account = caller.get()
        return account.client if account else self.own_client

    @property
    def completer(self) -> Completer:
        account = caller.get()
        return account.completer if account else self.own_completer

    def take_first_notes(self) -> list[str]:
        """Return the notes for the first reply, which list the files and folders read from the working directory.

        Later calls, and calls for other accounts, return an empty list.
        """
        if caller.get() or "_has_answered" in vars(self):
            return []
        vars(self)["_has_answered"] = True
        used = [name for name in ("./.swanlab/.netrc",) if self.settings.key_source == name]
        with suppress(OSError):
            used += ["./swanlog"] if Path.cwd() / "swanlog" in self.settings.log_dirs else []
        return [gettext("Read from the working directory: {names}.", names=", ".join(used))] if used else []

    async def aclose(self) -> None:
        """Close the client if it was opened."""
        if "own_client" in vars(self):
            await self.own_client.aclose()

    @property
    def secrets(self) -> set[str]:
        """The API keys and session ids in use by the server and the current caller."""
        return {*self.own_client.get_secrets(), *self.client.get_secrets()}

    def mask(self, text: str) -> str:
        return mask_exactly(text, self.secrets)

    def make_hide(self) -> Hide:
        """Return a function that masks secrets in values before they are compared, exactly as replies are masked."""
        # created once, because filters compare thousands of values with the same mask
        mask = make_value_mask(self.secrets)

        def hide(value: Any, name: str) -> Any:
            if not isinstance(value, (str, dict, list)):
                return value
            masked = mask(value)
            return masked if self.settings.show_secrets else mask_secrets(masked, name)

        return hide

    def clean(self, text: str) -> str:
        """Return a name with secrets masked, shortened for display in a view."""
        text = self.mask(text)
        return shorten(text if self.settings.show_secrets else mask_secrets(text), _LONGEST_NAME)
