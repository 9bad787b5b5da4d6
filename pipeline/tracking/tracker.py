"""The tracker: experiments, runs and registered models in MLflow, behind one class.

One experiment per universe; in it one parent run per (session, recipe, target), and below it one
child run per stock. A finished one stays until another with the same key is finished. All writes
are safe to repeat: runs are found by their tags, model versions by their `model_id`, and what is
already there is left alone.

Every run that is opened is ended: FINISHED, FAILED or KILLED (see `run_ends`). Whoever opens a
parent run ends it. TensorFlow is never imported here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.bulk_runs import BulkRuns
from pipeline.tracking.champions import Champions
from pipeline.tracking.child_runs import ChildRuns, session_name
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.entries import Origin, PublishedModel, TrackedRun
from pipeline.tracking.experiment_runs import ExperimentRuns, preferred
from pipeline.tracking.parent_runs import ParentRuns
from pipeline.tracking.registered_models import RegisteredModels
from pipeline.tracking.run_ends import RunEnds


class Tracker:
    """One experiment at one MLflow address; see `MlflowConnection`.

    Args:
        code_version: a tag of every run that is made.
        origin: what asks for the runs; None: this process does.
    """

    def __init__(
        self,
        uri: str,
        artifact_root: str,
        experiment: str,
        upgrade: bool = True,
        lock_url: str = "",
        code_version: str = "",
        origin: Origin | None = None,
    ) -> None:
        self.experiment = experiment
        self._origin = origin
        tags = {"code_version": code_version} if code_version else {}
        tags |= {"dag_run": origin.dag_run} if origin else {}
        self._connection = MlflowConnection(uri, artifact_root, experiment, lock_url, upgrade)
        self._database = BulkDatabase(self._connection)
        models = RegisteredModels(self._connection)
        self._runs = ExperimentRuns(self._connection, tags, origin)
        self._ends = RunEnds(self._connection, self._runs, origin)
        self._parents = ParentRuns(self._connection, self._runs, self._ends)
        bulk = BulkRuns(self._connection, self._runs, models, self._database)
        self._children = ChildRuns(self._connection, self._runs, models, self._database, bulk)
        self._champions = Champions(self._connection, models, self._database, bulk)

    @property
    def address(self) -> str:
        """MLflow's address without its password."""
        return self._connection.address

    @property
    def owner(self) -> str:
        """The owner that will end the runs that are opened here."""
        return self._ends.owner

    def prepare(self) -> None:
        """Make tables and experiment where they are missing; processes may do so at once."""
        with self._connection.answering():
            pass

    def close(self, error: BaseException | None = None) -> None:
        """End what is still open, and give back all connections.

        Args:
            error: what ended the work; None: it is done.
        """
        try:
            self._ends.end_open(error)
        finally:
            self._database.close()
            self._connection.close()

    # Parent runs

    def open_session(
        self,
        session: dt.date,
        recipe: str,
        target: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Return the parent run of a session, found or made; see `open_parent`.

        Several processes may work on a session: where a DAG run asks for it, the DAG run ends it.
        """
        key, name, labels = _session_identity(session, recipe, target)
        with self._connection.answering():
            run_id = self._parents.open(key, name, {**labels, **(tags or {})}, params or {})
        if self._origin is None:
            self._ends.opened(run_id)
        return run_id

    def ensure_session(
        self,
        session: dt.date,
        recipe: str,
        target: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Return the parent run of a session that nobody runs now.

        It stays as it is where it is there, such as FAILED or asked for with other `params`; a new
        one is FINISHED at once.
        """
        key, name, labels = _session_identity(session, recipe, target)
        with self._connection.answering():
            return self._parents.ensure(key, name, {**labels, **(tags or {})}, params or {})

    def open_parent(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Return a parent run, found by its key or made; it ends with `finish`, or with `close`.

        MLflow's parameters cannot change, so changed `params` make a new parent next to the old
        one. Processes that share a database take turns; an MLflow server has no lock, so
        they take turns at another database (`lock_url`).
        """
        with self._connection.answering():
            run_id = self._parents.open(key, name, tags, params or {})
        self._ends.opened(run_id)
        return run_id

    def finish(
        self,
        parent: str,
        metrics: Mapping[str, float],
        files: Mapping[str, bytes] | None = None,
        description: str = "",
    ) -> None:
        """Log a parent's summary, with `files` by name and Markdown, and mark it FINISHED.

        It replaces those with the same key: their other children move to it, and they are deleted.
        """
        with self._connection.answering():
            self._parents.finish(parent, metrics, files or {}, description)

    def end(self, run_id: str, status: str, reason: str = "") -> None:
        """End a run as FAILED or KILLED, with the reason as its tag."""
        self._ends.end(run_id, status, reason)

    def end_open(self, error: BaseException) -> None:
        """End all parents that were opened here and are not ended, by what stopped the work.

        They are KILLED by an interrupt, and FAILED by any other error.
        """
        self._ends.end_open(error)

    def end_runs_of(self, owner: str, status: str, reason: str) -> list[str]:
        """End all runs of an owner that are still running; return their ids."""
        return self._ends.end_runs_of(owner, status, reason)

    def end_abandoned(self) -> list[str]:
        """Mark the runs of dead owners KILLED; return the names of the runs.

        A process of another machine cannot be judged, so its runs stay as they are.
        """
        return self._ends.end_abandoned()

    def address_of(self, key: str) -> str | None:
        """Return where MLflow's pages show the run with this key, after the server's address.

        The key is a session's, or with a ticker behind it a stock's. Of several the newest finished
        one counts. None: there is no such run.
        """
        with self._connection.answering():
            run = preferred(self._runs.find(key))
            experiment = self._connection.experiment_id
            return f"#/experiments/{experiment}/runs/{run.info.run_id}" if run else None

    # Child runs and models

    def record(self, parent: str, run: TrackedRun) -> str:
        """Track the child run of one stock; return its run id.

        One child per stock and parent remains. Nothing is written when the same content is there.
        Other content becomes a new child, and the old one goes when that is complete.
        """
        with self._connection.answering():
            return self._children.record(parent, run, self.owner)

    def record_together(self, runs: Sequence[tuple[str, TrackedRun]]) -> list[str]:
        """Track child runs of different stocks, each with its parent; return their run ids.

        They are written together where MLflow's database is reached. Where one of them cannot be
        written, none is.
        """
        with self._connection.answering():
            return self._children.record_together(runs, self.owner)

    def set_champions(
        self, champions: Mapping[str, PublishedModel | None], is_newest: Callable[[], bool]
    ) -> None:
        """Point each ticker's alias `champion` at the model that is published.

        The files of the session's publication are written into its folder first.

        Args:
            champions: by ticker; None: nothing that could be served, and the alias goes.
            is_newest: whether no later session has been published; it is asked while no other
                process moves an alias.

        Raises:
            NothingStored: a model is not registered.
        """
        with self._connection.answering(), self._connection.lock("champions"):
            if is_newest():
                self._champions.set(champions)


def _session_identity(
    session: dt.date, recipe: str, target: str
) -> tuple[str, str, dict[str, str]]:
    """Return the key, the name and the tags of a session's parent run."""
    labels = {"session": str(session), "recipe": recipe, "target": target}
    return f"{session} {recipe} {target}", session_name(labels), labels
