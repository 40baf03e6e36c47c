"""Fetch the machine metadata of many experiments, with one request per experiment."""

from __future__ import annotations

from collections.abc import Sequence

from swanlab_mcp.analysis.filtering import Candidate, passes_all
from swanlab_mcp.analysis.machines import MACHINE_FIELDS, Machine, read_machine
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Experiment, Filter
from swanlab_mcp.core.refs import ExperimentRef, Scope
from swanlab_mcp.operations.reading import read_all

__all__ = ["MOST_MACHINES", "add_machines", "read_machines"]

MOST_MACHINES = 500


async def read_machines(client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment]) -> dict[str, Machine]:
    """Return the machines of the first 500 experiments, by experiment id.

    Each experiment requires its own request, because SwanLab's lists do not contain the machines.
    """

    async def ask(one: ExperimentRef) -> Machine:
        answer = await client.at(one).get_experiment(one)
        return read_machine(answer.data.profile.get("metadata")) if answer.data else Machine()

    chosen = experiments[:MOST_MACHINES]
    machines = await read_all([ref.experiment(one.cuid) for one in chosen], ask)
    return {one.cuid: machine for one, machine in zip(chosen, machines, strict=True)}


async def add_machines(
    client: SwanLabClient, ref: Scope, candidates: Sequence[Candidate], filters: Sequence[Filter]
) -> list[Candidate]:
    """Add the machine to each candidate that meets all the conditions on other fields.

    Raises InvalidArgument if there are too many such candidates.
    """
    plain = [one for one in filters if not one.either and one.field not in MACHINE_FIELDS]
    wanted = [one.experiment for one in candidates if passes_all(one, plain)]
    if len(wanted) > MOST_MACHINES:
        raise InvalidArgument(
            gettext(
                "Reading {names} requires one request for each of the {count} experiments, but at most {most} can "
                "be read at once.",
                names=", ".join(MACHINE_FIELDS),
                count=len(wanted),
                most=MOST_MACHINES,
            ),
            hint=gettext("Add filters on other fields, such as created or user."),
        )
    machines = await read_machines(client, ref, wanted)
    return [one._replace(machine=machines.get(one.experiment.cuid, one.machine)) for one in candidates]
