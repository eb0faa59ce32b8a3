"""The workspace's database: an index of the disk, and what exists nowhere else (jobs, bookmarks, ...)."""

from data.database.engine import Database

__all__ = ["Database"]
