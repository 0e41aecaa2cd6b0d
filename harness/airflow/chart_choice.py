"""Which chart a run installs, with the values checked against it: as early as it is known which one that will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.airflow.chart import Chart, ChartKind, contract, embedded_chart, resolve_chart
from harness.airflow.chart_values import check_values, effective_values, load_values
from harness.airflow.overlay import check_agreement
from harness.errors import ValuesError
from harness.model import StandIn, Toolchain
from harness.process import Runner
from harness.settings import SupplyKind
from harness.versions import versions

_REMOTE = ("http://", "https://", "oci://")


@dataclass(frozen=True, slots=True)
class ChosenChart:
    """A chart and the values for it.

    Attributes:
        chart: The chart.
        values: The effective values, checked against it.
        stand_ins: The chart itself, where it is not the official one.
    """

    chart: Chart
    values: Mapping[str, object]
    stand_ins: tuple[StandIn, ...] = ()


@dataclass(frozen=True, slots=True)
class ChartChoice:
    """What the choice depends on.

    Attributes:
        spec: What `--airflow-chart` says; None leaves it to the supply.
        supply: What `--supply` says.
        files: Values files in order.
        branch: The branch under test.
        repository: URL of the run's repository.
        dags_path: The DAG folder in it.
        runner: Runs Helm.
        home: Folder for what Helm keeps.
    """

    spec: str | None
    supply: SupplyKind
    files: Sequence[Path]
    branch: str
    repository: str
    dags_path: str
    runner: Runner
    home: Path

    def before_anything_runs(self) -> None:
        """Refuse what can be refused without the network, an engine or Helm.

        Without `--airflow-chart` the values must fit the embedded chart, which any supply may have to fall back to;
        only with `--supply registry` they may need the official one, and are then checked when that is here.

        Raises:
            UsageError: What was named is no chart.
            ValuesError: The values do not fit it, or the run.
        """
        if self.spec is not None:
            if not self.spec.startswith(_REMOTE):
                self._checked(self._named(None))
            return
        try:
            self._checked(embedded_chart())
        except ValuesError:
            if self.supply is not SupplyKind.REGISTRY:
                raise
            # What is wrong with any chart is not put off: an unreadable file, or another repository than the run's.
            self._agree(effective_values(contract(embedded_chart()).defaults, load_values(self.files)))

    def of(self, toolchain: Toolchain) -> ChosenChart:
        """The chart: the one that was named, else the official one where the supply has it, else the embedded one.

        Raises:
            UsageError: What was named is no chart.
            SupplyError: It could not be downloaded.
            ValuesError: The values do not fit it, or the run.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        if self.spec is not None:
            return self._checked(self._named(toolchain.helm))
        if toolchain.chart is not None:
            return self._checked(
                resolve_chart(str(toolchain.chart), helm=toolchain.helm, runner=self.runner, home=self.home)
            )
        return self._checked(embedded_chart(), because=toolchain.no_chart)

    def _named(self, helm: Path | None) -> Chart:
        return resolve_chart(self.spec, helm=helm or Path("helm"), runner=self.runner, home=self.home)

    def _checked(self, chart: Chart, *, because: str = "") -> ChosenChart:
        values = check_values(self.files, contract(chart))
        self._agree(values)
        return ChosenChart(chart, values, stand_ins(chart, because=because))

    def _agree(self, values: Mapping[str, object]) -> None:
        check_agreement(values, branch=self.branch, repository=self.repository, dags_path=self.dags_path)


def stand_ins(chart: Chart, *, because: str = "") -> tuple[StandIn, ...]:
    """The embedded chart as what it is: a stand-in for the official one, whichever way it was chosen."""
    if chart.kind is not ChartKind.EMBEDDED:
        return ()
    return (StandIn("embedded chart", f"the official chart {versions().chart}", because or "named by --airflow-chart"),)
