"""An index that no longer fits the files is told of once, and made again by a click."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update
from workbench_page import Own

from data.database.models import VariantRow
from data.drift import Drift, drift

NOTICES = "[...document.querySelectorAll('#notices .notice')].map(one => one.innerText)"


def test_an_index_that_differs_is_told_and_rebuilt(own: Own, tmp_path: Path) -> None:
    page, workspace = own.page, own.workspace
    named = workspace.variants()[1].name
    page.open(f"/?variant={named}", settle=False)
    page.until("tdw.selection.known()")
    workspace.catalog.refresh()
    page.later("await tdw.drift.look(); await tdw.drift.look();")
    assert not [text for text in page.js(f"return {NOTICES}") if "index" in text]
    with workspace.database.writing() as session:
        session.execute(update(VariantRow).where(VariantRow.name == named).values(token="another"))
    page.later("await tdw.drift.look();")
    assert not [text for text in page.js(f"return {NOTICES}") if "index" in text], "seen once: not told yet"
    page.later("await tdw.drift.look();")
    (told,) = [text for text in page.js(f"return {NOTICES}") if "index" in text]
    assert f"{named} has changed on disk since the catalog saw it" in told
    page.later("await tdw.drift.look();")
    assert len([text for text in page.js(f"return {NOTICES}") if "index" in text]) == 1
    page.js(
        "[...document.querySelectorAll('#notices button')].find(one => /Rebuild/.test(one.innerText)).click()"
    )
    page.until(f"{NOTICES}.some(text => /made again from the files: 3 variants/.test(text))")
    assert not [text for text in page.js(f"return {NOTICES}") if "differs" in text]
    assert drift(workspace) == Drift()
