"""Derive the endpoint labels in metrics and traces from request paths, leaving out names and ids."""

from __future__ import annotations

__all__ = ["name_endpoint"]

# fixed path segments in the API
_WORDS = {
    *("api_key", "column", "csv", "experiment", "export", "files", "get", "group", "groups", "house", "keys", "log"),
    *("login", "media", "metrics", "presigned", "profile", "project", "resources", "runs", "scalar", "shows"),
    *("info", "projects", "self_hosted", "summaries", "summary", "user", "users"),
}


def name_endpoint(path: str, prefix: str = "") -> str:
    """Return the path of an API request without `prefix` and `/api`, with `{}` in place of every name or id.

    Return "download" for all other paths, because the paths of downloads contain workspace and file names.
    """
    api = f"{prefix}/api"
    if not path.startswith(f"{api}/"):
        return "download"
    return "/".join(part if not part or part in _WORDS else "{}" for part in path.removeprefix(api).split("/"))
