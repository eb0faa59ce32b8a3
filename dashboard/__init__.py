"""The browser's side of the workbench: layout, selection, panels, figures, jobs and the server."""
