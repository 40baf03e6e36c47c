"""The methods of OpenApi that search and analyse experiments in the same way as the tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.core.findings import (
    AggregatedGroup,
    AwaitedExperiment,
    Comparison,
    Diagnosis,
    ExperimentForecast,
    NewsItem,
    PlottedCurve,
    RankedExperiment,
    SimilarExperiment,
    TriedSetting,
)
from swanlab_mcp.core.models import ApiResponse, EnvironmentFact, Experiment, Filter, RecordList
from swanlab_mcp.openapi.calls import Caller
from swanlab_mcp.operations import (
    aggregation,
    comparison,
    diagnosis,
    environments,
    finding,
    forecasts,
    news,
    plotting,
    ranking,
    similar,
    waiting,
)
from swanlab_mcp.operations.columns import WHOLE_CONFIG

__all__ = ["Questions"]

# a list inside the list means "or"
Filters = Sequence[Filter | dict[str, Any] | Sequence[Filter | dict[str, Any]]]
Names = str | Sequence[str]


class Questions(Caller):
    """Find, rank, aggregate, compare, diagnose and forecast experiments.

    In methods that search many experiments, the `project` argument can also be a list of projects, `workspace/*`, or
    `*` for all projects. In that case, the ids in the rows are paths. The data in every response has a `to_pandas()`
    method.
    """

    def find_experiments(
        self,
        project: Names,
        filters: Filters = (),
        *,
        sort: str = "",
        descending: bool = False,
        username: str = "",
    ) -> ApiResponse[RecordList[Experiment]]:
        """Find the experiments that match every filter.

        A filter is a dict with field, op and value, as in the tool `find_experiments`. `filters` may also contain a
        list of filters. Such a list matches if at least one of its filters matches.
        """
        return self._question_list(
            finding.find_experiments,
            project=project,
            filters=[*filters],
            sort=sort,
            descending=descending,
            username=username,
            fields=WHOLE_CONFIG,
        )

    def rank_experiments(
        self,
        project: Names,
        metric: str,
        *,
        mode: str = "auto",
        at: str = "best",
        filters: Filters = (),
        by_seed: bool = False,
        baseline: str = "",
        repeats_by: str = "config",
        unfinished: bool = False,
        username: str = "",
    ) -> ApiResponse[RecordList[RankedExperiment]]:
        """Rank experiments by a metric, or rank settings if `by_seed` is true.

        `notes` in the response explain whether lower or higher is better, and how large the noise is.
        """
        return self._question_list(
            ranking.rank_experiments,
            project=project,
            metric=metric,
            mode=mode,
            at=at,
            filters=[*filters],
            by_seed=by_seed,
            baseline=baseline,
            repeats_by=repeats_by,
            unfinished=unfinished,
            username=username,
            page=0,
        )

    def aggregate_experiments(
        self,
        project: Names,
        group_by: Names = (),
        metrics: Names = (),
        *,
        stats: Names = (),
        filters: Filters = (),
        at: str = "best",
        unfinished: bool = False,
        username: str = "",
    ) -> ApiResponse[RecordList[AggregatedGroup]]:
        """Group experiments by up to two fields, and return counts, states, hours and metric statistics per group."""
        return self._question_list(
            aggregation.aggregate_experiments,
            project=project,
            group_by=group_by,
            metrics=metrics,
            stats=stats,
            filters=[*filters],
            at=at,
            unfinished=unfinished,
            username=username,
            page=0,
        )

    def compare_experiments(
        self,
        project: str = "",
        exp_cuids: Names = (),
        *,
        filters: Filters = (),
        metrics: Names = (),
        baseline: str = "",
        username: str = "",
    ) -> ApiResponse[Comparison]:
        """Compare the configs, environments and results of 2 to 50 experiments.

        If `baseline` is given, also decide which settings to keep.
        """
        return self._question(
            comparison.compare_experiments,
            project=project,
            exp_cuids=exp_cuids,
            filters=[*filters],
            metrics=metrics,
            baseline=baseline,
            username=username,
        )

    def diagnose_experiment(
        self, project: str = "", exp_cuid: str = "", username: str = "", *, exp_id: str = ""
    ) -> ApiResponse[Diagnosis]:
        """Diagnose an experiment, based on all its points.

        The response contains its health, events and causes, and the traceback after a crash.
        """
        return self._question(
            diagnosis.diagnose_experiment, project=project, exp_cuid=exp_cuid or exp_id, username=username
        )

    def forecast_experiment(
        self,
        project: str = "",
        exp_cuid: str = "",
        metric: str = "",
        username: str = "",
        *,
        until_step: int = 0,
        as_of_step: int = 0,
        mode: str = "auto",
        exp_id: str = "",
    ) -> ApiResponse[ExperimentForecast]:
        """Forecast the final value of a metric in a running experiment, with a 90 % interval and advice."""
        return self._question(
            forecasts.forecast_experiment,
            project=project,
            exp_cuid=exp_cuid or exp_id,
            metric=metric,
            until_step=until_step,
            as_of_step=as_of_step,
            mode=mode,
            username=username,
        )

    def find_similar_experiments(
        self,
        project: Names,
        config: str | dict[str, Any] | None = None,
        *,
        exp_cuid: str = "",
        metric: str = "",
        size: int = 5,
        username: str = "",
    ) -> ApiResponse[RecordList[SimilarExperiment] | RecordList[TriedSetting]]:
        """Find the experiments most similar to a config or an experiment.

        If neither is given, show which settings matter in the project.
        """
        return self._question_list(
            similar.find_similar_experiments,
            project=project,
            config=config,
            exp_cuid=exp_cuid,
            metric=metric,
            size=size,
            username=username,
        )

    def whats_new(
        self, project: Names = "", since: str = "24h", *, metrics: Names = (), username: str = ""
    ) -> ApiResponse[RecordList[NewsItem]]:
        """List what happened since a time, newest first.

        The events are new, finished, crashed, stalled or failing experiments, and new records.
        """
        return self._question_list(
            news.whats_new, project=project, since=since, metrics=metrics, username=username, page=0
        )

    def wait_for_experiments(
        self,
        project: str,
        exp_cuids: Names = (),
        until: Names = (),
        *,
        timeout: int = 45,
        cursor: str = "",
        username: str = "",
    ) -> ApiResponse[RecordList[AwaitedExperiment]]:
        """Wait up to `timeout` seconds for experiments to meet a condition.

        A note in the response contains the cursor for the next call.
        """
        return self._question_list(
            waiting.wait_for_experiments,
            project=project,
            exp_cuids=exp_cuids,
            until=until,
            timeout=timeout,
            cursor=cursor,
            username=username,
        )

    def plot_metrics(
        self,
        project: str = "",
        exp_cuids: Names = (),
        keys: Names = (),
        username: str = "",
        *,
        x_axis: str = "step",
        group_by: str = "",
        band: str = "sd",
        smoothing: float = 0,
        log_x: bool = False,
        log_y: bool = False,
        start: int | str | None = None,
        end: int | str | None = None,
    ) -> ApiResponse[RecordList[PlottedCurve]]:
        """Draw up to 20 curves. The response contains the PNG in `pictures` and statistics for each curve in `data`."""
        return self._question_list(
            plotting.plot_metrics,
            project=project,
            exp_cuids=exp_cuids,
            keys=keys,
            username=username,
            x_axis=x_axis,
            group_by=group_by,
            band=band,
            smoothing=smoothing,
            log_x=log_x,
            log_y=log_y,
            start=start,
            end=end,
        )

    def get_environment(
        self, project: str = "", exp_cuids: Names = (), username: str = "", *, search: str = ""
    ) -> ApiResponse[RecordList[EnvironmentFact]]:
        """Get the machine, packages, git state and command of an experiment, or the differences between several."""
        return self._question_list(
            environments.get_environment, project=project, exp_cuids=exp_cuids, username=username, search=search, page=0
        )
