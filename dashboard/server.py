"""The Dash application of one workspace."""

from __future__ import annotations

from pathlib import Path

from dash import Dash

from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from dashboard import callbacks, routes, tiles
from dashboard.bookmarks import Bookmarks
from dashboard.bundle import Bundle
from dashboard.comparisons import ComparisonFigures
from dashboard.detail import detail_html
from dashboard.figures import FigureService
from dashboard.info import about, pulse, variant_info
from dashboard.jobs import job_manager
from dashboard.layout import dash_part, document
from dashboard.pages import compare_routes, drift_routes, train_routes, work_routes
from dashboard.pages.compare_table import VariantTable
from dashboard.pages.compare_times import AlignedTimes
from dashboard.paths import ASSETS
from dashboard.security import protect
from dashboard.work.service import WorkService
from data import Workspace
from data.database.column_sets import ColumnSets
from renderers.catalog import Catalog
from renderers.comparison.service import ComparisonService
from renderers.service import ViewService

TITLE = "Training Dynamics Workbench"


def create_app(workspace: Path | Workspace, views: Catalog | None = None, any_host: bool = False) -> Dash:
    """The dashboard on `workspace`; `views` replaces the catalog, `any_host` see `security.protect`.

    The application keeps no state of its users: the selection is in the browser, results are on disk.
    """
    opened = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    results = AnalyzerService()
    service = ViewService(results, views)
    scripts = Bundle.of(ASSETS)
    app = Dash(
        __name__,
        title=TITLE,
        update_title="",
        assets_folder=str(ASSETS),
        assets_ignore=r".*\.js",
        index_string=document(service.catalog, scripts.paths),
        background_callback_manager=job_manager(opened),
        serve_locally=True,
    )
    analyzers = [analyzer.name for analyzer in default_registry()]
    app.layout = dash_part()
    callbacks.register(app)
    scripts.register(app.server)
    routes.register(
        app.server,
        routes.Services(
            figures=FigureService(opened, service, app.server),
            bookmarks=Bookmarks(opened.database),
            describe=lambda name: variant_info(opened, results, analyzers, name),
            about=lambda name: about(opened, results, name),
            pulse=lambda name: pulse(opened, results, analyzers, name),
            detail=lambda name: detail_html(service.catalog, name),
        ),
    )
    tiles.register(app.server, opened, service)
    drift_routes.register(app.server, opened)
    work_routes.register(app.server, WorkService(opened))
    train_routes.register(app.server, opened)
    comparison = ComparisonService(opened, service)
    compare_routes.register(
        app.server,
        ComparisonFigures(comparison, app.server),
        VariantTable(opened, results),
        AlignedTimes(opened, results),
        ColumnSets(opened.database),
    )
    protect(app, any_host)
    app.server.config["MAX_CONTENT_LENGTH"] = 2 * 1024 * 1024
    return app
