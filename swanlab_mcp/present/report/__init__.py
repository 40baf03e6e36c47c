"""Write a report on a project as a self-contained HTML page, findings first, followed by the evidence.

All external text is escaped, and the content security policy of the page forbids scripts and network access.
"""

from __future__ import annotations

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.present.report.evidence import gather_evidence
from swanlab_mcp.present.report.findings import describe_findings
from swanlab_mcp.present.report.page import render
from swanlab_mcp.present.report.sections import describe_evidence

__all__ = ["write_report"]


async def write_report(
    client: SwanLabClient,
    *,
    project: str,
    metric: str = "",
    username: str = "",
    show_secrets: bool = False,
) -> str:
    """Return the report as HTML.

    Without `metric`, the report uses the metric that best measures the quality of the model. Raises NotFound if the
    project has no experiments, or if no metric is given and none of the logged metrics measures quality.
    """
    evidence = await gather_evidence(
        client, project=project, metric=metric, username=username, show_secrets=show_secrets
    )
    return render(evidence, [describe_findings(evidence), *describe_evidence(evidence)])
