"""The `tdw` command: every subcommand says what it did in plain words, with `--json` where it lists."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from data import Variant, Workspace
from data.errors import BadParameter, WorkbenchError
from data.workspace import default_path

if TYPE_CHECKING:
    from analyzers.pipeline import Report

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train small transformers, keep checkpoints, run instruments on every one, explore what emerged.",
)
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
err = Console(highlight=False, soft_wrap=True, stderr=True)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="The workspace folder. Default: TDW_WORKSPACE, or `workspace`."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def serve(
    workspace: WorkspaceOption = None,
    host: Annotated[
        str, typer.Option(help="Beyond this machine needs TDW_PASSWORD or --insecure.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8050,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without a password.")
    ] = False,
) -> None:
    """Open the dashboard; on first use on the shipped samples, which are analysed first."""
    from dashboard.serve import serve as serve_dashboard

    path = default_path() if workspace is None else workspace
    first = not path.exists()
    opened = Workspace(path, create=True)
    if first:
        added = opened.add_samples()
        out.print(f"Made {path} from {len(added)} sample variants: {', '.join(added)}.")
        for name in added:
            _analyze(opened[name], None)
    serve_dashboard(path, host=host, port=port, open_browser=open_browser, insecure=insecure)


@app.command()
def train(
    family: Annotated[str, typer.Argument(help="The task family: modular_addition.")],
    p: Annotated[int, typer.Option(help="The prime.")] = 113,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights.")] = 0,
    data_seed: Annotated[int, typer.Option(help="Seed of the train/test split.")] = 598,
    frac_train: Annotated[float, typer.Option(help="Share of the pairs to train on.")] = 0.3,
    operation: Annotated[str, typer.Option(help="add, subtract, multiply or x2+xy+y2.")] = "add",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Decoupled weight decay of AdamW.")] = 1.0,
    epochs: Annotated[int | None, typer.Option(help="Optimizer steps. Default: the family's.")] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(help="Epochs to keep, e.g. 0,100:1000:50,5000. Default: powers of two and every 250."),
    ] = None,
    checkpoint_dtype: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    tf32: Annotated[bool, typer.Option("--tf32", help="Faster, less exact products on CUDA.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Train one variant and keep its checkpoints."""
    from training.run import train_variant
    from training.trainer import Progress as TrainingProgress

    made = Workspace(default_path() if workspace is None else workspace, create=True)
    with _progress() as bar:
        task = bar.add_task("training", total=None, note="")

        def show(state: TrainingProgress) -> None:
            losses = f"train {state.train_loss:.3g}, test {state.test_loss:.3g}"
            note = f"epoch {state.epoch:,}, {losses}, {state.epochs_per_second:,.0f} epochs/s"
            bar.update(task, total=state.epochs, completed=state.epoch, note=note)

        variant = train_variant(
            made,
            family,
            {"p": p, "seed": seed, "data_seed": data_seed, "frac_train": frac_train, "operation": operation},
            {"lr": lr, "weight_decay": weight_decay},
            epochs=epochs,
            checkpoints=checkpoints,
            device=device,
            on_progress=show,
            resume=resume,
            checkpoint_dtype=checkpoint_dtype,
            tf32=tf32,
        )
    history, made_on = variant.history, variant.provenance
    out.print(
        f"Trained {variant.name} to epoch {int(history['epoch'][-1]):,} on {made_on['device']}"
        f" ({made_on['dtype']}, torch {made_on['torch']}):"
        f" train loss {_loss(float(history['train_loss'][-1]))},"
        f" test loss {_loss(float(history['test_loss'][-1]))}."
    )
    out.print(f"Test loss: {_turn(variant.summary['turn'], reason=True)}.")
    out.print(f"Kept {len(variant.epochs)} checkpoints in {variant.path}.")
    out.print(f"Next: tdw analyze {variant.name} --workspace {made.path}")


@app.command()
def variants(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the variants with parameters, epochs, final losses and the turn."""
    opened = Workspace(workspace)
    rows = []
    for entry in opened.catalog.refresh():
        summary = opened[entry.name].summary
        rows.append({**asdict(entry), "turn": summary["turn"]})
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        table = Table(
            "name", "family", "checkpoints", "trained to", "train loss", "test loss", "turn", box=None
        )
        for row in rows:
            table.add_row(
                row["name"],
                row["family"],
                str(len(row["epochs"])),
                _number(row["trained_epochs"]),
                _loss(row["final_train_loss"]),
                _loss(row["final_test_loss"]),
                _turn(row["turn"]),
            )
        out.print(table)
        out.print(f"{len(rows)} variants in {opened.path}.")
    for problem in opened.problems():
        err.print(str(problem))


@app.command()
def analyze(
    name: Annotated[str | None, typer.Argument(help="The variant; without it, --all.")] = None,
    all_variants: Annotated[bool, typer.Option("--all", help="Every variant of the workspace.")] = False,
    analyzer: Annotated[list[str] | None, typer.Option(help="Only this analyzer (repeatable).")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Run the analyzers that are missing or stale, with progress."""
    opened = Workspace(workspace)
    if (name is None) != all_variants:
        raise BadParameter("Give the name of one variant, or --all.")
    chosen = opened.variants() if name is None else [opened[name]]
    failures = 0
    for variant in chosen:
        failures += len(_analyze(variant, analyzer).failures)
    if failures:
        raise WorkbenchError(f"{failures} results could not be computed; they are listed above.")


@app.command()
def analyzers(as_json: JsonOption = False) -> None:
    """List the instruments with what they compute and where the formula comes from."""
    from analyzers.service import AnalyzerService

    _list(AnalyzerService().list(), as_json)


@app.command()
def views(as_json: JsonOption = False) -> None:
    """List the views with what they show."""
    from renderers.service import ViewService

    _list(ViewService().list(), as_json)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="The variant to delete, with all its files.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete a variant."""
    opened = Workspace(workspace)
    if not yes and not typer.confirm(
        f"Delete {name} in {opened.path} with all its checkpoints and artifacts?"
    ):
        raise WorkbenchError(f"{name} was kept.")
    opened.delete_variant(name)
    out.print(f"Deleted {name} from {opened.path}.")


def main() -> None:
    """Entry point: a WorkbenchError becomes one line on stderr and exit status 1."""
    try:
        app()
    except WorkbenchError as error:
        print(f"tdw: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _analyze(variant: Variant, names: list[str] | None) -> Report:
    from analyzers import pipeline

    with _progress() as bar:
        task = bar.add_task(f"analysing {variant.name}", total=None, note="")

        def show(state: pipeline.Progress) -> None:
            bar.update(task, total=state.total, completed=state.done, note=state.analyzer)

        report = pipeline.analyze(variant, names, on_progress=show)
    for failure in report.failures:
        err.print(f"{variant.name}: {failure}")
    out.print(f"{variant.name}: {report}")
    return report


def _progress() -> Progress:
    note = TextColumn("{task.fields[note]}")
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        note,
        console=err,
        transient=True,
    )


def _list(described: Any, as_json: bool) -> None:
    rows = [row if isinstance(row, dict) else asdict(row) for row in described]
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
        return
    table = _table(*rows[0])
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column, no_wrap=not out.is_terminal, overflow="fold")
    return table


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _turn(turn: dict[str, Any], reason: bool = False) -> str:
    """The turn in a few words, e.g. `turned at 8,100-8,230, complete at 11,020-11,100 (confidence 0.93)`."""
    if turn["onset"] is None or turn["completion"] is None:
        return f"{turn['verdict']}: {turn['reason']}" if reason else turn["verdict"]
    onset, completion = (
        f"{'' if low is None else f'{low:,.0f}-'}{high:,.0f}"
        for low, high in (turn["onset"], turn["completion"])
    )
    return f"{turn['verdict']} at {onset}, complete at {completion} (confidence {turn['confidence']:.2f})"


if __name__ == "__main__":
    main()
