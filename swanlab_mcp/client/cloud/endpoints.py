"""Name the endpoints of SwanLab's API in metrics and traces, without the names and ids in their paths."""

from __future__ import annotations

__all__ = ["name_endpoint"]

# parts of the API's own paths
_WORDS = {
    *("api_key", "column", "csv", "experiment", "export", "files", "get", "group", "groups", "house", "keys", "log"),
    *("login", "media", "metrics", "presigned", "profile", "project", "resources", "runs", "scalar", "shows"),
    *("info", "projects", "self_hosted", "summaries", "summary", "user", "users"),
}


def name_endpoint(path: str, prefix: str = "") -> str:
    """Return the path of an API request below the host's `prefix`, with `{}` for every name or id.

    Other paths are downloads from the storage, whose parts are the names of workspaces and files.
    """
    api = f"{prefix}/api"
    if not path.startswith(f"{api}/"):
        return "download"
    return "/".join(part if not part or part in _WORDS else "{}" for part in path.removeprefix(api).split("/"))
